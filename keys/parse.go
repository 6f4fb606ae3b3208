package keys

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"securepeer/wire"
)

// ParseRoster reads the text of a roster. Its error joins every fault (the
// first 100), each a [*RosterError] with its line; nothing ambiguous passes.
// Lines may come in any order, cut by blanks and tabs; comments are lines that
// begin with #.
func ParseRoster(b []byte) (*Roster, error) { return parseRoster(b, "") }

func parseRoster(b []byte, file string) (*Roster, error) {
	p := rosterParser{r: defaultRoster(), told: faults{file: file}}
	p.c = newChecker(&p.told)
	if len(b) > maxRosterSize {
		p.told.add(0, "the roster is longer than %d bytes", maxRosterSize)
		return nil, p.told.err()
	}
	p.r.adminNotes = map[string]string{}
	p.r.lastNote = textLines(b, &p.told, p.line)
	p.finish()
	if err := p.told.err(); err != nil {
		return nil, err
	}
	return p.r, nil
}

// rosterParser turns lines into a roster. It goes on after a fault, so that
// all of them are told at once.
type rosterParser struct {
	r    *Roster
	told faults
	c    *checker

	ring source // line 0 until there was one
}

func (p *rosterParser) line(l textLine) {
	words := words(l.text)
	if l.bad {
		if words[0] == "ring" && p.ring.line == 0 {
			p.ring.line = l.number // it is there, if not readable
		}
		return
	}
	switch words[0] {
	case "ring":
		p.ringLine(l, words[1:])
	case "admin":
		p.adminLine(l, words[1:])
	case "peer":
		p.peerLine(l, words[1:])
	case "revoke":
		p.revokeLine(l, words[1:])
	default:
		p.told.add(l.number, "unknown kind of line %s: it must be ring, admin, peer or revoke, or a comment that begins with #", quote(words[0]))
	}
}

func (p *rosterParser) ringLine(l textLine, words []string) {
	from := source{l.number, "ring"}
	if p.ring.line > 0 {
		p.told.add(l.number, "a second ring line; the first is line %d", p.ring.line)
		return
	}
	if p.ring = from; len(words) == 0 || strings.Contains(words[0], "=") {
		p.told.add(l.number, "the ring line has no name: ring NAME [space=] [copies=] [observers=] [interval=] [grace=] [route=]")
		return
	}
	p.r.Ring, p.r.ringNote = words[0], l.note
	p.fields(from, words[1:], p.ringField)
	p.c.checkRing(from, p.r)
}

var errUnknown = errors.New("unknown")

// fields gives each NAME=VALUE or NAME to set once, and tells what set
// refuses.
func (p *rosterParser) fields(from source, words []string, set func(name, value string) error) {
	seen := map[string]bool{}
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, "=")
		if seen[name] {
			p.c.fault(from, fmt.Errorf("the field %s is there twice", quote(name)))
			continue
		}
		seen[name] = true
		if hasValue {
			name += "="
		}
		switch err := set(name, value); err {
		case nil:
		case errUnknown:
			p.c.fault(from, fmt.Errorf("unknown field %s", quote(word)))
		default:
			p.c.fault(from, fmt.Errorf("%s: %w", name, err))
		}
	}
}

func (p *rosterParser) ringField(name, value string) (err error) {
	r := p.r
	switch name {
	case "space=":
		err = setNumber(&r.Space, value, 255)
	case "copies=":
		err = setNumber(&r.Copies, value, 1<<31-1)
	case "observers=":
		err = setNumber(&r.Observers, value, 1<<31-1)
	case "interval=":
		err = setDuration(&r.Interval, value)
	case "grace=":
		err = setDuration(&r.Grace, value)
	case "route=":
		switch value {
		case Hop.String():
			r.Route = Hop
		case Walk.String():
			r.Route = Walk
		default:
			err = fmt.Errorf("%s must be hop or walk", quote(value))
		}
	default:
		err = errUnknown
	}
	return err
}

// setNumber leaves n alone if text is no number up to most.
func setNumber[N wire.Space | wire.ID | int](n *N, text string, most uint64) error {
	v, err := parseDecimal(text, most)
	if err == nil {
		*n = N(v)
	}
	return err
}

func setDuration(d *time.Duration, text string) error {
	v, err := ParseDuration(text)
	if err == nil {
		*d = v
	}
	return err
}

func (p *rosterParser) adminLine(l textLine, words []string) {
	from := source{l.number, "admin"}
	if len(words) != 1 {
		p.c.fault(from, errors.New("the line must be: admin KEY, a minisign public key"))
		return
	}
	from.what = "admin " + plain(words[0])
	p.c.checkAdmin(from, words[0])
	p.r.Admins = append(p.r.Admins, words[0])
	p.r.adminNotes[words[0]] = l.note
}

func (p *rosterParser) peerLine(l textLine, words []string) {
	before := p.told.count()
	if len(words) < 3 {
		p.told.add(l.number, "the line must be: peer ID NAME KEY addr=HOST:PORT [pos=] [role=steward] [next=KEY] [drain]")
		return
	}
	m := Member{note: l.note}
	from := p.identity("peer", l, words, &m.ID, &m.Name, &m.Key)
	p.fields(from, words[3:], func(name, value string) error { return p.peerField(from, &m, name, value) })
	if !slices.ContainsFunc(words[3:], func(w string) bool { return strings.HasPrefix(w, "addr=") }) {
		p.c.fault(from, errors.New("it has no addr=HOST:PORT"))
	}
	if p.told.count() == before {
		p.r.Members = append(p.r.Members, m)
	}
}

func (p *rosterParser) revokeLine(l textLine, words []string) {
	before := p.told.count()
	if len(words) != 3 {
		p.told.add(l.number, "the line must be: revoke ID NAME KEY")
		return
	}
	v := Revoked{note: l.note}
	p.identity("revoke", l, words, &v.ID, &v.Name, &v.Key)
	if p.told.count() == before {
		p.r.Revoked = append(p.r.Revoked, v)
	}
}

// identity reads and checks ID NAME KEY, the first three words.
func (p *rosterParser) identity(kind string, l textLine, words []string, id *wire.ID, name *string, key *Public) source {
	from := source{l.number, kind + " " + plain(words[0]) + " " + plain(words[1])}
	if err := setNumber(id, words[0], 65535); err != nil {
		p.c.fault(from, fmt.Errorf("the id %w", err))
	} else {
		p.c.checkID(from, *id)
	}
	*name = words[1]
	p.c.checkName(from, words[0], *name)
	var err error
	if *key, err = decodePublic(words[2]); err != nil {
		p.c.fault(from, err)
	} else {
		p.c.checkKey(from, "key", *key)
	}
	return from
}

func (p *rosterParser) peerField(from source, m *Member, name, value string) error {
	switch name {
	case "addr=":
		m.Addr = value
		p.c.checkAddr(from, value)
	case "pos=":
		pos, err := parsePos(value)
		m.Pos, m.HasPos = pos, true
		return err
	case "role=":
		if m.Steward = value == "steward"; !m.Steward {
			return fmt.Errorf("unknown role %s: there is steward alone", quote(value))
		}
	case "next=":
		next, err := decodePublic(value)
		if err != nil {
			return err
		}
		p.c.checkKey(from, "next=", next)
		m.Next = &next
	case "drain":
		m.Drain = true
	default:
		return errUnknown
	}
	return nil
}

// parsePos reads a position, decimal or with 0x in hexadecimal.
func parsePos(text string) (wire.Pos, error) {
	digits, base := text, 10
	if hex, ok := strings.CutPrefix(text, "0x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("%s must be a number from 0 to 2^64 - 1, decimal or 0x and hexadecimal digits", quote(text))
	}
	return wire.Pos(n), nil
}

// plain returns text as it is if it is harmless in an error, else quoted.
func plain(text string) string {
	if checkName(text) == nil {
		return text
	}
	return quote(text)
}

// finish does what needs all lines: positions depend on the ring line, and
// lines come in any order.
func (p *rosterParser) finish() {
	r := p.r
	if p.ring.line == 0 {
		p.told.add(0, "there is no ring line: a roster needs one, ring NAME")
	}
	for i := range r.Members {
		m := &r.Members[i]
		if !m.HasPos {
			m.Pos = wire.PosOf(r.Space, m.ID)
		}
		p.c.checkPlace(p.c.ids[m.ID], r.Space, m)
	}
	slices.Sort(r.Admins)
	slices.SortFunc(r.Members, byMemberID)
	slices.SortFunc(r.Revoked, byRevokedID)
}
