package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sample is a body for a parser, legal or not.
type sample struct {
	name   string
	typ    Type // 0: not a message
	parser parser
	body   []byte
	legal  bool
}

// nameOf is a name of n bytes, legal up to MaxName.
func nameOf(n int) string {
	name := bytes.Repeat([]byte{'n'}, n)
	for i := 100; i < n-1; i += 101 {
		name[i] = '/'
	}
	return string(name)
}

// rawText is a text as it would be with any length.
func rawText(s string) []byte { return append(be.AppendUint16(nil, uint16(len(s))), s...) }

// rawList is n times item behind a count, as it would be with any n.
func rawList(n int, item []byte) []byte {
	return append(be.AppendUint16(nil, uint16(n)), bytes.Repeat(item, n)...)
}

// seeds is the table, and what lies one below, at and one above each limit.
func seeds(t testing.TB) []sample {
	var all []sample
	for _, row := range messages {
		all = append(all, sample{row.name, row.typ, messageParser(row.typ), unhex(t, row.hex), true})
	}
	for _, row := range others {
		switch row.name {
		case "Ping", "Ack":
			all = append(all, sample{row.name, 0, pingParser, unhex(t, row.hex), true})
		case "Manifest", "ManifestTombstone":
			all = append(all, sample{row.name, 0, manifestParser, unhex(t, row.hex), true})
		}
	}
	return slices.Concat(all, listLimits(), nameLimits(), numberLimits(t))
}

// listLimits has every list one below, at and one above its limit.
func listLimits() []sample {
	var all []sample
	add := func(typ Type, limit int, before, item, after []byte) {
		for n := limit - 1; n <= limit+1; n++ {
			body := slices.Concat(before, rawList(n, item), after)
			all = append(all, sample{fmt.Sprintf("%v with %d", typ, n), typ, messageParser(typ), body, n <= limit})
		}
	}
	var (
		none     = []byte{0, 0}
		row      = sampleRow.Append(nil)
		vote     = sampleVote.Append(nil)
		manifest = sampleManifest.Append(nil)
		put      = Put{Name: "n"}.Append(nil)
	)
	add(TypeRows, MaxRows, nil, row, none)
	add(TypeRows, MaxVotes, none, vote, nil)
	add(TypePutAck, MaxRows, none, row, none)
	add(TypePutAck, MaxVotes, []byte{0, 0, 0, 0}, vote, nil)
	add(TypeFound, MaxManifests, make([]byte, 7), manifest, nil)
	add(TypeListed, MaxListed, make([]byte, 9), manifest, nil)
	add(TypePut, MaxHolders, put[:len(put)-2], none, nil)
	add(TypeBlockList, MaxHashes, nil, make([]byte, 32), nil)
	return all
}

// nameLimits has names and parts of names one below, at and one above their
// limits, wherever a name is.
func nameLimits() []sample {
	manifest := sampleManifest.Append(nil)[2+len(sampleManifest.Name):]
	req := make([]byte, 4)
	find := []byte{0, 0, 0, 0, byte(ForGet)}
	var all []sample
	add := func(name string, legal, begins bool) {
		text := rawText(name)
		put := slices.Concat(make([]byte, 8+8+8+16), text, []byte{0, 0})
		for _, s := range []sample{
			{typ: TypeFind, body: slices.Concat(find, text), legal: legal},
			{typ: TypeLook, body: slices.Concat(req, text), legal: legal},
			{typ: TypePut, body: put, legal: legal},
			{typ: TypePutEnd, body: slices.Concat(text, manifest), legal: legal},
			{typ: TypeList, body: slices.Concat(req, text, rawText("")), legal: begins},
			{typ: TypeList, body: slices.Concat(req, rawText(""), text), legal: begins},
		} {
			s.name = fmt.Sprintf("%v of a name of %d bytes", s.typ, len(name))
			s.parser = messageParser(s.typ)
			all = append(all, s)
		}
	}
	add("", false, true)
	add("n", true, true)
	for n := MaxName - 1; n <= MaxName+1; n++ {
		add(nameOf(n), n <= MaxName, n <= MaxName)
	}
	for n := MaxPart - 1; n <= MaxPart+1; n++ {
		add("a/"+strings.Repeat("n", n), n <= MaxPart, true)
	}
	for _, name := range []string{"/", "a/", "/a", "a//b", ".", "..", "a/.", "../a"} {
		add(name, false, true)
	}
	for _, name := range []string{"...", ".a", "a..", "\u00a0", " "} {
		add(name, true, true)
	}
	for _, name := range []string{"\x00", "a\x1f", "\x7f", "\u009f", "\xff", "a\xc3", "\xed\xa0\x80"} {
		add(name, false, false)
	}
	return all
}

// numberLimits has every number that has a range at its ends and one outside.
func numberLimits(t testing.TB) []sample {
	bases := map[string]sample{}
	for _, row := range messages {
		bases[row.name] = sample{typ: row.typ, parser: messageParser(row.typ), body: unhex(t, row.hex)}
	}
	bases["Ping"] = sample{parser: pingParser, body: samplePing.Append(nil)}
	bases["Manifest"] = sample{parser: manifestParser, body: sampleManifest.Append(nil)}
	bases["ManifestTombstone"] = sample{parser: manifestParser, body: sampleTombstone.Append(nil)}
	bases["PutAck"] = sample{typ: TypePutAck, parser: messageParser(TypePutAck), body: make([]byte, 6)}
	var all []sample
	add := func(base string, at, size int, legal bool, values ...uint64) {
		for _, v := range values {
			s := bases[base]
			s.name, s.legal = fmt.Sprintf("%s with %#x at %d", base, v, at), legal
			s.body = slices.Clone(s.body)
			copy(s.body[at:], be.AppendUint64(nil, v)[8-size:])
			all = append(all, s)
		}
	}
	name := 2 + len(sampleManifest.Name)
	add("Rows", 2+10, 1, true, 1, 7)
	add("Rows", 2+10, 1, false, 0, 8, 255)
	add("Rows", 2+rowSize+2+12, 1, true, 1, 2, 3)
	add("Rows", 2+rowSize+2+12, 1, false, 0, 4, 255)
	add("Find", 4, 1, true, 2, 3, 4)
	add("Find", 4, 1, false, 0, 1, 5, 255)
	add("FindJoin", 4, 1, false, 2, 3, 4)
	add("Refuse", 4, 2, true, 2, 12)
	add("Refuse", 4, 2, false, 0, 1, 13, 0xffff)
	add("Fail", 0, 2, true, 2, 12)
	add("Fail", 0, 2, false, 0, 1, 13, 0xffff)
	add("Confirmed", 4, 2, true, 0, 1, 2, 12)
	add("Confirmed", 4, 2, false, 13, 0xffff)
	add("PutAck", 0, 2, true, 0, 1, 12)
	add("PutAck", 0, 2, false, 13, 0x100, 0xffff)
	add("Found", 4, 2, true, 0, 4, 12)
	add("Found", 4, 2, false, 13, 0x100, 0xffff)
	add("Found", 6, 1, false, 2, 255)
	add("Listed", 4, 2, true, 0, 10, 12)
	add("Listed", 4, 2, false, 13, 0x100, 0xffff)
	add("Listed", 6, 1, false, 2, 255)
	add("Listed", 7, 2, true, 0, 1, 0xffff)
	add("Put", 8, 8, true, 0, MaxSize-1, MaxSize)
	add("Put", 8, 8, false, MaxSize+1, 1<<64-1)
	add("Put", 16, 8, true, 0, MaxSize-1, MaxSize, SizeUnknown)
	add("Put", 16, 8, false, MaxSize+1, SizeUnknown-1)
	add("Blocks", 44, 4, true, 0, MaxHashes-1, MaxHashes)
	add("Blocks", 44, 4, false, MaxHashes+1, 1<<32-1)
	add("Get", 40, 8, true, 0, MaxSize-1, MaxSize)
	add("Get", 40, 8, false, MaxSize+1, 1<<64-1)
	add("Get", 48, 8, true, 0, MaxSegment-1, MaxSegment)
	add("Get", 48, 8, false, MaxSegment+1, 1<<64-1)
	add("Manifest", name, 8, true, 1, MaxVersion-1, MaxVersion)
	add("Manifest", name, 8, false, 0, MaxVersion+1, 1<<64-1)
	add("Manifest", name+12, 1, false, 1, 2, 3, 0x80)
	add("Manifest", name+13, 2, true, 0, 0o776, 0o777)
	add("Manifest", name+13, 2, false, 0o1000, 0xffff)
	add("Manifest", name+23, 8, true, 0, 1, 1<<63-1, 1<<63, 1<<64-1)
	add("Manifest", name+39, 8, true, 0, MaxSize-1, MaxSize)
	add("Manifest", name+39, 8, false, MaxSize+1, 1<<64-1)
	add("ManifestTombstone", name+12, 1, false, 0, 2, 3)
	add("ManifestTombstone", name+39, 8, false, 1, MaxSize+1)
	add("ManifestTombstone", name+78, 1, false, 1)
	add("Buckets", 0, 1, true, 0, 1)
	add("Buckets", 0, 1, false, 2, 255)
	add("PingReqAck", 4, 1, true, 0, 1)
	add("PingReqAck", 4, 1, false, 2, 255)
	add("Progress", 0, 8, true, 0, MaxSize-1, MaxSize)
	add("Progress", 0, 8, false, MaxSize+1, 1<<64-1)
	add("Ping", 0, 1, true, 1, 2)
	add("Ping", 0, 1, false, 0, 3, 255)
	add("Ping", 1, 1, true, 0, 1, 2)
	add("Ping", 1, 1, false, 3, 255)
	add("Ping", 2, 2, false, 1, 0x100)
	return all
}

// TestLimits: what lies at a limit is taken, what lies above is refused, and
// all of it has the properties.
func TestLimits(t *testing.T) {
	for _, s := range seeds(t) {
		if took := checkBody(t, s.parser, s.body); took != s.legal {
			_, _, err := s.parser.parse(s.body)
			t.Errorf("%s: taken %v, want %v (error %v)", s.name, took, s.legal, err)
		}
	}
}

// largest is each message that has a list or text, with all of them at their
// limits.
func largest() []Message {
	g := sampleManifest
	g.Name = nameOf(MaxName)
	rows, votes := slices.Repeat([]Row{sampleRow}, MaxRows), slices.Repeat([]Vote{sampleVote}, MaxVotes)
	return []Message{
		Rows{rows, votes},
		Find{0, ForPut, g.Name},
		Look{0, g.Name},
		Found{0, CodeOK, false, slices.Repeat([]Manifest{g}, MaxManifests)},
		Offer{0, 0, g},
		List{0, g.Name, g.Name},
		Listed{0, CodeOK, false, 0, slices.Repeat([]Manifest{g}, MaxListed)},
		Put{Name: g.Name, Holders: make([]ID, MaxHolders)},
		PutEnd{g},
		PutAck{CodeNotOwner, rows, votes},
		BlockList{make([]Sum, MaxHashes)},
	}
}

// TestLargestMessagesFitARecord: no legal value is too large for a record, so
// nobody who appends a message need count its bytes.
func TestLargestMessagesFitARecord(t *testing.T) {
	for _, m := range largest() {
		body := m.Append(nil)
		if len(body) > MaxBody {
			t.Errorf("%v: %d bytes, at most %d", m.Type(), len(body), MaxBody)
		}
		checkBody(t, messageParser(m.Type()), body)
	}
}

func TestTooLargeBodiesAreRefused(t *testing.T) {
	for _, typ := range types() {
		_, err := Parse(typ, make([]byte, MaxBody+1))
		if err == nil || !strings.Contains(err.Error(), "body has 65519 bytes") {
			t.Errorf("%v: error %v", typ, err)
		}
	}
}

// TestAppendPanicsOverALimit: a value over a limit is this program's own
// mistake, and must not leave as bytes that mean something else.
func TestAppendPanicsOverALimit(t *testing.T) {
	long := strings.Repeat("n", MaxName+1)
	for name, m := range map[string]Message{
		"rows":      Rows{Rows: make([]Row, MaxRows+1)},
		"votes":     Rows{Votes: make([]Vote, MaxVotes+1)},
		"ack rows":  PutAck{Rows: make([]Row, MaxRows+1)},
		"ack votes": PutAck{Votes: make([]Vote, MaxVotes+1)},
		"found":     Found{Manifests: make([]Manifest, MaxManifests+1)},
		"listed":    Listed{Manifests: make([]Manifest, MaxListed+1)},
		"holders":   Put{Holders: make([]ID, MaxHolders+1)},
		"hashes":    BlockList{make([]Sum, MaxHashes+1)},
		"find":      Find{Name: long},
		"look":      Look{Name: long},
		"prefix":    List{Prefix: long},
		"after":     List{After: long},
		"put":       Put{Name: long},
		"manifest":  PutEnd{Manifest{Name: long}},
	} {
		mustPanic(t, name, func() { m.Append(nil) })
	}
	mustPanic(t, "ring", func() { sampleRow.SignedBytes(strings.Repeat("r", 256), nil) })
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	f()
}
