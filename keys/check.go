package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"securepeer/wire"
)

// source says whose fault a fault is: the line, where there is one, and what
// the line says.
type source struct {
	line int // 0 if not from a file
	what string
}

func (s source) String() string {
	if s.line == 0 {
		return s.what
	}
	return fmt.Sprintf("%s in line %d", s.what, s.line)
}

// checker holds the rules of a roster, whether it comes from a file or from a
// program: what each value may be, and that nothing stands for two things.
type checker struct {
	told *faults

	ids    map[wire.ID]source
	names  map[string]source // in lower case
	noises map[[32]byte]source
	signs  map[[32]byte]source
	places map[wire.Pos]source
	addrs  map[string]source // in one spelling
	admins map[[32]byte]source
}

func newChecker(told *faults) *checker {
	return &checker{
		told:   told,
		ids:    map[wire.ID]source{},
		names:  map[string]source{},
		noises: map[[32]byte]source{},
		signs:  map[[32]byte]source{},
		places: map[wire.Pos]source{},
		addrs:  map[string]source{},
		admins: map[[32]byte]source{},
	}
}

// claim tells if key is taken, else takes it.
func claim[K comparable](c *checker, taken map[K]source, key K, from source, what string) {
	if other, ok := taken[key]; ok {
		c.told.add(from.line, "%s: %s is that of %s", from.what, what, other)
		return
	}
	taken[key] = from
}

// claimAll takes what a sound roster has, without looking at it again.
func (c *checker) claimAll(r *Roster) {
	for i := range r.Members {
		m := &r.Members[i]
		from := source{what: m.describe()}
		c.ids[m.ID], c.names[strings.ToLower(m.Name)], c.places[m.Pos] = from, from, from
		c.noises[m.Key.Noise], c.signs[m.Key.Sign] = from, from
		c.addrs[oneSpelling(m.Addr)] = from
		if m.Next != nil {
			c.noises[m.Next.Noise], c.signs[m.Next.Sign] = from, from
		}
	}
	for i := range r.Revoked {
		v := &r.Revoked[i]
		from := source{what: v.describe()}
		c.ids[v.ID], c.names[strings.ToLower(v.Name)] = from, from
		c.noises[v.Key.Noise], c.signs[v.Key.Sign] = from, from
	}
}

func (c *checker) fault(from source, err error) {
	if err != nil {
		c.told.add(from.line, "%s: %v", from.what, err)
	}
}

func (c *checker) checkRing(from source, r *Roster) {
	c.fault(from, checkName(r.Ring))
	if r.Space != wire.Space8 && r.Space != wire.Space64 {
		c.fault(from, fmt.Errorf("space=%d must be 8 or 64", r.Space))
	}
	c.fault(from, checkRange("copies", r.Copies, maxCopies))
	c.fault(from, checkRange("observers", r.Observers, maxObservers))
	c.fault(from, checkTimes(r.Interval, r.Grace))
	if r.Route != Hop && r.Route != Walk {
		c.fault(from, fmt.Errorf("route=%s must be hop or walk", r.Route))
	}
}

func checkRange(field string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%s=%d must be 1 to %d", field, n, most)
	}
	return nil
}

func checkTimes(interval, grace time.Duration) error {
	if interval < minInterval || interval > maxInterval {
		return fmt.Errorf("interval=%s must be %s to %s", FormatDuration(interval), FormatDuration(minInterval), FormatDuration(maxInterval))
	}
	if grace < interval || grace > maxGrace {
		return fmt.Errorf("grace=%s must be %s (the interval) to %s", FormatDuration(grace), FormatDuration(interval), FormatDuration(maxGrace))
	}
	return nil
}

// checkMember looks at everything but the position, which depends on the ring.
func (c *checker) checkMember(from source, m *Member) {
	c.checkID(from, m.ID)
	c.checkName(from, m.ID.String(), m.Name)
	c.checkKey(from, "key", m.Key)
	if m.Next != nil {
		c.checkKey(from, "next=", *m.Next)
	}
	c.checkAddr(from, m.Addr)
}

func (c *checker) checkRevoked(from source, v *Revoked) {
	c.checkID(from, v.ID)
	c.checkName(from, v.ID.String(), v.Name)
	c.checkKey(from, "key", v.Key)
}

func (c *checker) checkID(from source, id wire.ID) {
	claim(c, c.ids, id, from, fmt.Sprintf("id %d", id))
}

// checkName refuses names that differ in case only, and a number that is not
// the member's own id: people and commands would take the one for the other.
func (c *checker) checkName(from source, id, name string) {
	if err := checkName(name); err != nil {
		c.fault(from, err)
		return
	}
	if strings.Trim(name, "0123456789") == "" && name != id {
		c.fault(from, fmt.Errorf("the name %s is a number but not its own id", name))
	}
	claim(c, c.names, strings.ToLower(name), from, "the name "+name)
}

// checkAddr refuses an address that two members have: at most one of them can
// be there, and every link to the other would end in a refusal.
func (c *checker) checkAddr(from source, addr string) {
	if err := checkAddr(addr); err != nil {
		c.fault(from, err)
		return
	}
	claim(c, c.addrs, oneSpelling(addr), from, "addr="+addr)
}

// checkKey looks at the two halves one by one: an identity that shares one of
// them with another is as ambiguous as one that shares both.
func (c *checker) checkKey(from source, field string, key Public) {
	if err := key.check(); err != nil {
		c.fault(from, fmt.Errorf("%s: %w", field, err))
		return
	}
	if other, ok := c.noises[key.Noise]; ok && c.signs[key.Sign] == other {
		c.fault(from, fmt.Errorf("%s is that of %s", field, other))
		return
	}
	claim(c, c.noises, key.Noise, from, "the first half (X25519) of "+field)
	claim(c, c.signs, key.Sign, from, "the second half (Ed25519) of "+field)
}

// checkPlace looks at what depends on the ring line.
func (c *checker) checkPlace(from source, space wire.Space, m *Member) {
	if space == wire.Space8 && m.ID > maxClassicID {
		c.fault(from, fmt.Errorf("id %d is over %d, the last of space=8", m.ID, maxClassicID))
	}
	if space == wire.Space8 && m.HasPos {
		c.fault(from, errors.New("pos= has no place in space=8, where the id is the position"))
		return
	}
	if !m.HasPos && m.Pos != wire.PosOf(space, m.ID) {
		c.fault(from, fmt.Errorf("position %d is not that of its id", m.Pos))
	}
	what := fmt.Sprintf("position %d", m.Pos)
	if !m.HasPos {
		what += ", which follows from its id,"
	}
	claim(c, c.places, m.Pos, from, what)
}

// checkAdmin checks the shape of a minisign public key: base64 of "Ed", a key
// id of 8 bytes and an Ed25519 public key.
func (c *checker) checkAdmin(from source, admin string) {
	b, err := base64.StdEncoding.Strict().DecodeString(admin)
	if err != nil || len(b) != minisignPublic || string(b[:2]) != "Ed" {
		c.fault(from, errors.New("not a minisign public key: 56 characters that begin with RW, the second line of minisign.pub"))
		return
	}
	key := [32]byte(b[minisignPublic-32:])
	if err := checkSign(key); err != nil {
		c.fault(from, fmt.Errorf("its key is %w", err))
		return
	}
	claim(c, c.admins, key, from, "its key")
}

// checkName holds for rings and members.
func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > maxNameSize:
		return fmt.Errorf("the name has %d characters, at most %d are allowed", len(name), maxNameSize)
	case strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(letters+"-_.,", r) }):
		return fmt.Errorf("the name %s may have letters, digits and - _ . , alone", quote(name))
	case !strings.Contains(letters, name[:1]):
		return fmt.Errorf("the name %s must begin with a letter or digit", quote(name))
	}
	return nil
}

// parseDecimal reads a number in its one spelling: digits, no leading zero.
func parseDecimal(text string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most || strconv.FormatUint(n, 10) != text {
		return 0, fmt.Errorf("%s must be a number from 0 to %d", quote(text), most)
	}
	return n, nil
}
