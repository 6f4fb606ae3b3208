package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// parser is one of the three ways in, with what checkBody needs of it.
type parser struct {
	rule  string // of the acceptor
	parse func(b []byte) (value any, again func(b []byte) []byte, err error)
}

func messageParser(typ Type) parser {
	return parser{strconv.Itoa(int(typ)), func(b []byte) (any, func([]byte) []byte, error) {
		m, err := Parse(typ, b)
		if m == nil {
			return nil, nil, err
		}
		return m, m.Append, err
	}}
}

var pingParser = parser{"ping", func(b []byte) (any, func([]byte) []byte, error) {
	p, err := ParsePing(b)
	return p, p.Append, err
}}

var manifestParser = parser{"manifest", func(b []byte) (any, func([]byte) []byte, error) {
	m, err := ParseManifest(b)
	return m, m.Append, err
}}

// checkBody holds p to the properties of every decoder here, for any bytes,
// and says whether p took them:
//
//  1. it does not panic
//  2. an error comes without a value
//  3. it takes what the independent acceptor takes
//  4. what it took appends to the same bytes
//  5. a proper prefix of it is short, never something else
//  6. a byte more is one too many
//  7. the value shares no memory with the bytes
func checkBody(t testing.TB, p parser, body []byte) bool {
	t.Helper()
	value, _, err := p.parse(body)
	if err != nil && value != nil && !reflect.ValueOf(value).IsZero() {
		t.Fatalf("%s: parsing %x: value %+v beside error %v", p.rule, body, value, err)
	}
	if took, want := err == nil, accepts(p.rule, body); took != want {
		t.Fatalf("%s: parsing %x: error %v, the acceptor says %v", p.rule, body, err, want)
	}
	if err != nil {
		return false
	}
	step := max(1, len(body)/32)
	for n := 0; n < len(body); n += step {
		if _, _, err := p.parse(body[:n]); !errors.Is(err, errShort) {
			t.Fatalf("%s: parsing %d bytes of %x: error %v, want %v", p.rule, n, body, err, errShort)
		}
	}
	if _, _, err := p.parse(append(slices.Clone(body), 0)); !errors.Is(err, errLeftover) {
		t.Fatalf("%s: parsing %x and a byte more: error %v, want %v", p.rule, body, err, errLeftover)
	}
	scribbled := slices.Clone(body)
	_, again, _ := p.parse(scribbled)
	for i := range scribbled {
		scribbled[i] ^= 0xff
	}
	if got := again(nil); !bytes.Equal(got, body) {
		t.Fatalf("%s: parsing %x and appending gave %x", p.rule, body, got)
	}
	return true
}

// TestMutations takes 200,000 bodies a few random edits away from the seeds
// through checkBody. Of every kind some must have been taken and some
// refused, or the edits are too wild or too tame to prove anything.
func TestMutations(t *testing.T) {
	const inputs, seed = 200_000, 1
	r := rand.New(rand.NewPCG(seed, 0))
	var pool []sample
	for _, s := range seeds(t) {
		if len(s.body) <= 1400 {
			pool = append(pool, s)
		}
	}
	took, refused := map[string]int{}, map[string]int{}
	for range inputs {
		s := pool[r.IntN(len(pool))]
		body := mutate(r, s.body, pool[r.IntN(len(pool))].body)
		if checkBody(t, s.parser, body) {
			took[s.parser.rule]++
		} else {
			refused[s.parser.rule]++
		}
	}
	for rule := range rules {
		if rule == "row" || rule == "vote" || rule == "size" {
			continue
		}
		if took[rule] < 100 || refused[rule] < 100 {
			t.Errorf("rule %s: %d bodies taken, %d refused, want 100 of each", rule, took[rule], refused[rule])
		}
	}
}

// mutate returns b after up to 3 edits; other is a body to take bytes from.
func mutate(r *rand.Rand, b, other []byte) []byte {
	b = slices.Clone(b)
	for range r.IntN(4) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(7) {
		case 0: // one bit
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		case 1: // a byte near an edge
			if at < len(b) {
				b[at] = []byte{0, 1, 2, 3, 7, 8, 11, 12, 13, '.', '/', 0x7f, 0x80, 0xff}[r.IntN(14)]
			}
		case 2: // a count, one off
			if at+1 < len(b) {
				be.PutUint16(b[at:], be.Uint16(b[at:])+uint16(r.IntN(3))-1)
			}
		case 3: // cut
			b = b[:at]
		case 4: // a byte out
			if at < len(b) {
				b = slices.Delete(b, at, at+1)
			}
		case 5: // a byte in
			b = slices.Insert(b, at, byte(r.IntN(256)))
		case 6: // somebody else's end
			b = append(b[:at], other[min(at, len(other)):]...)
		}
	}
	return b
}

// TestValuesComeBack: parsing what a random legal value appended gives the
// value.
func TestValuesComeBack(t *testing.T) {
	const seed = 2
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range 60 {
		for _, typ := range types() {
			want := g.message(typ)
			got, err := Parse(typ, want.Append(nil))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %v: got %+v, %v, want %+v", seed, typ, got, err, want)
			}
		}
	}
}

// generator makes legal values; lists and names are often at an end of their
// range.
type generator struct{ *rand.Rand }

func (g generator) length(low, high int) int {
	switch g.IntN(4) {
	case 0:
		return low
	case 1:
		return high
	}
	return low + g.IntN(high-low+1)
}

func (g generator) fill(b []byte) {
	for i := range b {
		b[i] = byte(g.Uint32())
	}
}

func (g generator) name() string { return nameOf(g.length(1, MaxName)) }

func (g generator) row() Row {
	r := Row{ID: ID(g.Uint32()), Incarnation: Incarnation(g.Uint64()), State: Joining + State(g.IntN(int(Left)))}
	g.fill(r.Store[:])
	g.fill(r.Sig[:])
	return r
}

func (g generator) vote() Vote {
	v := Vote{
		Observer: ID(g.Uint32()), Member: ID(g.Uint32()), Incarnation: Incarnation(g.Uint64()),
		Verdict: Reachable + Verdict(g.IntN(int(Gone))), Sequence: g.Uint64(),
	}
	g.fill(v.Sig[:])
	return v
}

func (g generator) manifest() Manifest {
	m := Manifest{
		Name: g.name(), Version: 1 + g.Uint64N(MaxVersion), Writer: ID(g.Uint32()), Signer: ID(g.Uint32()),
		Mode: uint16(g.IntN(MaxMode + 1)), Mtime: int64(g.Uint64()), Made: int64(g.Uint64()), Expires: int64(g.Uint64()),
	}
	if g.IntN(4) == 0 {
		m.Flags = Tombstone
	} else {
		m.Size = g.Uint64N(MaxSize + 1)
		g.fill(m.Blocks[:])
	}
	if g.coin() {
		g.fill(m.Prior[:])
	}
	g.fill(m.Sig[:])
	return m
}

// many returns nil for no items, as the parsers do.
func many[T any](n int, item func() T) (items []T) {
	for range n {
		items = append(items, item())
	}
	return items
}

func (g generator) rows() []Row   { return many(g.length(0, MaxRows), g.row) }
func (g generator) votes() []Vote { return many(g.length(0, MaxVotes), g.vote) }
func (g generator) id() ID        { return ID(g.Uint32()) }
func (g generator) code() Code    { return Code(g.IntN(int(CodeUnreadable) + 1)) }

func (g generator) refusal() Code {
	return CodeNotOwner + Code(g.IntN(int(CodeUnreadable-CodeNotOwner)+1))
}
func (g generator) coin() bool { return g.IntN(2) == 0 }

func (g generator) sum() (s Sum) {
	g.fill(s[:])
	return s
}

func (g generator) message(typ Type) Message {
	switch typ {
	case TypeRows:
		return Rows{g.rows(), g.votes()}
	case TypeFind:
		if g.coin() {
			return Find{g.Uint32(), ForJoin, ""}
		}
		return Find{g.Uint32(), ForPut + Purpose(g.IntN(2)), g.name()}
	case TypeAsk:
		return Ask{g.Uint32(), g.id()}
	case TypeHere:
		return Here{g.Uint32()}
	case TypeRefuse:
		return Refuse{g.Uint32(), g.refusal()}
	case TypeLook:
		return Look{g.Uint32(), g.name()}
	case TypeFound:
		return Found{g.Uint32(), g.code(), g.coin(), many(g.length(0, MaxManifests), g.manifest)}
	case TypeOffer:
		return Offer{g.Uint32(), g.id(), g.manifest()}
	case TypeConfirmed:
		return Confirmed{g.Uint32(), []Code{CodeOK, CodeMore, g.refusal()}[g.IntN(3)]}
	case TypeSettled:
		return Settled{Incarnation(g.Uint64()), Pos(g.Uint64())}
	case TypeList:
		return List{g.Uint32(), g.name(), g.name()}
	case TypeListed:
		return Listed{g.Uint32(), g.code(), g.coin(), uint16(g.Uint32()), many(g.length(0, MaxListed), g.manifest)}
	case TypePut:
		m := Put{
			Upload: g.Uint64(), Offset: g.Uint64N(MaxSize + 1), Size: g.Uint64N(MaxSize + 1),
			Name: g.name(), Holders: many(g.length(0, MaxHolders), g.id),
		}
		if g.coin() {
			m.Size = SizeUnknown
		}
		g.fill(m.Roster[:])
		return m
	case TypePutMore:
		return PutMore{}
	case TypePutEnd:
		return PutEnd{g.manifest()}
	case TypePutAck:
		return PutAck{g.code(), g.rows(), g.votes()}
	case TypeBlocks:
		return Blocks{Pos(g.Uint64()), g.sum(), g.Uint32(), g.Uint32N(MaxHashes + 1)}
	case TypeBlockList:
		return BlockList{many(g.length(0, MaxHashes), g.sum)}
	case TypeGet:
		return Get{Pos(g.Uint64()), g.sum(), g.Uint64N(MaxSize + 1), g.Uint64N(MaxSegment + 1)}
	case TypeFail:
		return Fail{g.refusal()}
	case TypeBuckets:
		m := Buckets{Reply: g.coin()}
		for i := range m.Sums {
			g.fill(m.Sums[i][:])
		}
		return m
	case TypePingReq:
		return PingReq{g.Uint32(), g.id()}
	case TypePingReqAck:
		return PingReqAck{g.Uint32(), g.coin()}
	case TypeProgress:
		return Progress{g.Uint64N(MaxSize + 1)}
	}
	panic("no generator for " + typ.String())
}
