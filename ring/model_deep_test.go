package ring

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"

	"securepeer/wire"
)

// What the model needs of any value: a clone that shares nothing that can
// change with it, and a hash of what can still make a difference. Both follow
// the types, so a new field of Ring is cloned and hashed without a word here.

// A shape is how to clone and hash values of one type, compiled once.
type shape struct {
	plain bool                              // holds no pointer: a copy of its bytes is a clone
	clone func(c cloner, at unsafe.Pointer) // turns a shallow copy into a clone
	hash  hashing                           // adds what is there
}

// A cloner knows the clones of what is pointed to, so that two pointers to
// one thing stay so.
type cloner map[unsafe.Pointer]reflect.Value

// A hasher hashes one world. Two worlds that differ only in how instants,
// incarnations and numbers of requests are counted have the same hash.
type hasher struct {
	globe   *globe
	sum     uint64
	now     Time
	newest  []wire.Incarnation // of each member, counted from its first
	echo    uint64             // the newest of the peer whose pings are hashed
	epoch   uint64             // of the view of the peer whose ring is hashed
	joined  bool               // the peer whose ring is hashed has been in it
	numbers map[number]uint64  // in the order in which they were met
}

func (h *hasher) add(x uint64) {
	hi, lo := bits.Mul64(h.sum^x^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	h.sum = hi ^ lo ^ bits.RotateLeft64(x, 29)
}

// A number is an identity that the world has given: only whether two are
// equal matters.
type number uint64

// A rule is how the hash takes a field where not every bit of it can make a
// difference. A field without one is hashed as it is, so a new one costs
// states, never truth. TestModel looks for a rule that is wrong: see twins.
type rule struct {
	of   reflect.Type // of the field; nil: any
	hash func(h *hasher, at unsafe.Pointer, own hashing)
}

type hashing func(h *hasher, at unsafe.Pointer)

var rules = map[string]rule{
	// An instant lies so many intervals back that no wait asks any more how many.
	"Ring.agreed":      age(21),
	"Ring.saved":       age(31),
	"Ring.save":        age(0),
	"copier.due":       age(0),
	"copier.progress":  age(11),
	"detector.anybody": age(2),
	"detector.awake":   age(8), // the grace, and more
	"detector.last":    age(1),
	"detector.looked":  age(1),
	"detector.steady":  age(8),
	"doubts.due":       age(0),
	"doubts.since":     age(8),
	"doubts.ticked":    age(4),
	"line.blank":       age(1),
	"line.fell":        age(20), // two dials, as it is compared with since
	"line.heard":       age(8),
	"line.kept":        age(31),
	"line.oneWay":      age(6),
	"line.pinged":      age(1),
	"line.tried":       age(14),
	"line.used":        age(0), // of the links that are ended when idle there are none here
	"link.since":       age(2), // dialTimeout
	"links.due":        age(0),
	"links.idle":       age(0),
	"outsider.since":   age(20),
	"parcel.since":     age(4), // linkTimeout
	"resting.until":    age(0),
	"spread.last":      age(1),
	"transfer.since":   age(4),
	"own.contested":    age(61),

	// The same of a map of instants: without an entry is as with an old one.
	"spread.answered": lapse(1),
	"spread.passed":   lapse(1),
	"pulls.vain":      lapse(0), // until then

	// A count of pings: how many there have been since is what counts.
	"detector.echo": echo,
	"Ping.Echo":     echo,
	"probe.echo":    echo,
	"sent.echo":     echo,
	"watch.tick":    echo,
	"watch.sent":    slots, // each has the place that its echo gives it

	// A count of views: whether it is that of now.
	"accord.epoch": epoch,
	"copier.epoch": epoch,
	"look.epoch":   epoch,
	"pass.epoch":   epoch,
	"view.epoch":   nothing,

	// A count that goes round, of at most four.
	"detector.turn": round,
	"links.cursor":  round,

	// What was begun before this peer was in the ring.
	"join.answered": early,
	"join.cursor":   early,
	"join.dialled":  early,
	"join.due":      early,
	"join.refused":  early,
	"join.started":  early,

	// A count of what comes: all that has been counted is elsewhere.
	"detector.sequence": nothing,
	"outbox.req":        nothing,

	// What follows from other fields.
	"links.wanted": nothing, // of the view, as of an epoch of it
	"view.digests": nothing,
	"view.now":     nothing, // set by every step
	"view.was":     nothing, // scratch
	"view.accused": nothing,

	// A span of time, whose type is that of an instant.
	"pace.deviation": whole,
	"pace.mean":      whole,
	"look.spare":     whole,
}

// shared are fields that no event here changes: they are neither cloned nor
// hashed.
var shared = map[string]bool{
	"Ring.roster": true,
	"view.circle": true,
	"own.sign":    true,
}

const oldest = 64 // intervals: longer than any wait of the ring

func age(intervals time.Duration) rule {
	least := -Time(intervals * interval)
	return rule{reflect.TypeFor[Time](), func(h *hasher, at unsafe.Pointer, _ hashing) {
		h.add(h.instant(*(*Time)(at), least))
	}}
}

func lapse(intervals time.Duration) rule {
	return rule{reflect.TypeFor[map[wire.ID]Time](), func(h *hasher, at unsafe.Pointer, _ hashing) {
		sum := uint64(0)
		for id, t := range *(*map[wire.ID]Time)(at) {
			if h.now-t < Time(intervals*interval) {
				x := hasher{sum: uint64(id)}
				x.add(uint64(h.now - t))
				sum += x.sum
			}
		}
		h.add(sum)
	}}
}

var echo = rule{reflect.TypeFor[uint64](), func(h *hasher, at unsafe.Pointer, _ hashing) {
	if e := *(*uint64)(at); e != 0 {
		h.add(h.echo - e + 1)
	} else {
		h.add(0)
	}
}}

var slots = rule{reflect.TypeFor[[8]sent](), func(h *hasher, at unsafe.Pointer, _ hashing) {
	sum := uint64(0)
	for _, p := range *(*[8]sent)(at) {
		if p.at != 0 {
			x := hasher{sum: h.echo - p.echo}
			x.add(uint64(h.now - p.at))
			sum += x.sum
		}
	}
	h.add(sum)
}}

var epoch = rule{reflect.TypeFor[uint64](), func(h *hasher, at unsafe.Pointer, _ hashing) {
	h.flag(*(*uint64)(at) == h.epoch)
}}

var round = rule{reflect.TypeFor[int](), func(h *hasher, at unsafe.Pointer, _ hashing) {
	h.add(uint64(*(*int)(at)) % 12)
}}

var whole = rule{reflect.TypeFor[Time](), func(h *hasher, at unsafe.Pointer, _ hashing) {
	h.add(*(*uint64)(at))
}}

var nothing = rule{nil, func(*hasher, unsafe.Pointer, hashing) {}}

var early = rule{nil, func(h *hasher, at unsafe.Pointer, own hashing) {
	if !h.joined {
		own(h, at)
	}
}}

var (
	compiling sync.Mutex
	structs   = map[reflect.Type]*shape{} // those of other types depend on the field
	fieldsMet = map[string]bool{}         // fields met, for TestRulesNameFields
	compiled  sync.Map                    // reflect.Type to *shape, of what is cloned or hashed as a whole
)

// shapeOf returns the shape of a type, whatever field it is in.
func shapeOf(t reflect.Type) *shape {
	if s, ok := compiled.Load(t); ok {
		return s.(*shape)
	}
	compiling.Lock()
	defer compiling.Unlock()
	done := false
	defer func() {
		if !done {
			clear(structs) // of what was refused some are half made
		}
	}()
	s := compile(t, "")
	compiled.Store(t, s)
	done = true
	return s
}

// compile makes the shape of a type. where names the field it was met in.
func compile(t reflect.Type, where string) *shape {
	fieldsMet[where] = true
	s := special(t, where)
	if s != nil {
		return s
	}
	if s = structs[t]; s != nil {
		return s
	}
	s = &shape{plain: true, clone: func(cloner, unsafe.Pointer) {}}
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(uint64(*(*uint8)(at))) }
	case reflect.Int16, reflect.Uint16:
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(uint64(*(*uint16)(at))) }
	case reflect.Int32, reflect.Uint32:
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(uint64(*(*uint32)(at))) }
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64:
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(*(*uint64)(at)) }
	case reflect.String:
		s.hash = func(h *hasher, at unsafe.Pointer) { h.text(*(*string)(at)) }
	case reflect.Array:
		s.array(t, where)
	case reflect.Struct:
		structs[t] = s // first, as types may refer to themselves
		s.fields(t)
	case reflect.Slice:
		s.slice(t, where)
	case reflect.Map:
		s.table(t, where)
	case reflect.Pointer:
		s.pointer(t, where)
	case reflect.Interface:
		s.dynamic(t)
	default:
		panic(fmt.Sprintf("the model cannot clone %v in %v", t, where))
	}
	return s
}

// special is the shape of what is shared, has a rule, or is counted from a
// start that makes no difference; nil of anything else.
func special(t reflect.Type, where string) *shape {
	s := &shape{plain: true, clone: func(cloner, unsafe.Pointer) {}, hash: func(*hasher, unsafe.Pointer) {}}
	if shared[where] {
		return s
	}
	if r, ok := rules[where]; ok {
		if r.of != nil && r.of != t {
			panic(fmt.Sprintf("the rule for %s is for %v, not %v: delete it, or make it anew", where, r.of, t))
		}
		own := compile(t, where+" itself")
		return &shape{own.plain, own.clone, func(h *hasher, at unsafe.Pointer) { r.hash(h, at, own.hash) }}
	}
	switch t {
	case reflect.TypeFor[Time]():
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(h.instant(*(*Time)(at), -Time(oldest*interval))) }
	case reflect.TypeFor[wire.Incarnation]():
		s.hash = func(h *hasher, at unsafe.Pointer) {
			i := *(*wire.Incarnation)(at)
			h.add(uint64(h.newest[i>>firstBits] - i))
		}
	case reflect.TypeFor[number]():
		s.hash = func(h *hasher, at unsafe.Pointer) { h.add(h.number(*(*number)(at))) }
	case reflect.TypeFor[wire.Sig](): // follows from what is signed
	default:
		return nil
	}
	return s
}

// instant is t as seen from now; 0 and never stay what they are.
func (h *hasher) instant(t, least Time) uint64 {
	switch t {
	case 0, never:
		return uint64(t)
	}
	return uint64(max(t-h.now, least)) ^ 1<<62
}

func (h *hasher) number(n number) uint64 {
	if n == 0 {
		return 0
	}
	if h.numbers[n] == 0 {
		h.numbers[n] = uint64(len(h.numbers) + 1)
	}
	return h.numbers[n]
}

func (h *hasher) bytes(b []byte) {
	h.add(uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		h.add(binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		h.add(uint64(c))
	}
}

func (h *hasher) text(s string) { h.bytes(unsafe.Slice(unsafe.StringData(s), len(s))) }

func (s *shape) array(t reflect.Type, where string) {
	elem, n, size := compile(t.Elem(), where+"[elem]"), t.Len(), t.Elem().Size()
	s.plain = elem.plain
	if t.Elem().Kind() == reflect.Uint8 {
		s.hash = func(h *hasher, at unsafe.Pointer) { h.bytes(unsafe.Slice((*byte)(at), n)) }
		return
	}
	s.clone = func(c cloner, at unsafe.Pointer) {
		for i := range n {
			elem.clone(c, unsafe.Add(at, uintptr(i)*size))
		}
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		for i := range n {
			elem.hash(h, unsafe.Add(at, uintptr(i)*size))
		}
	}
}

func (s *shape) fields(t reflect.Type) {
	type field struct {
		*shape
		offset uintptr
	}
	var all, deep []field
	for i := range t.NumField() {
		f := t.Field(i)
		x := field{compile(f.Type, t.Name()+"."+f.Name), f.Offset}
		all = append(all, x)
		if !x.plain {
			deep = append(deep, x)
		}
	}
	s.plain = len(deep) == 0
	s.clone = func(c cloner, at unsafe.Pointer) {
		for _, f := range deep {
			f.clone(c, unsafe.Add(at, f.offset))
		}
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		if t == reflect.TypeFor[Ring]() {
			r := (*Ring)(at)
			h.echo, h.epoch, h.joined = r.detect.echo, r.view.epoch, r.own.state != 0
		}
		for _, f := range all {
			f.hash(h, unsafe.Add(at, f.offset))
		}
	}
}

func (s *shape) slice(t reflect.Type, where string) {
	elem, size := compile(t.Elem(), where+"[elem]"), t.Elem().Size()
	s.plain = false
	s.clone = func(c cloner, at unsafe.Pointer) {
		was := reflect.NewAt(t, at).Elem()
		if was.IsNil() {
			return
		}
		n := was.Len()
		is := reflect.MakeSlice(t, n, n)
		reflect.Copy(is, was)
		was.Set(is)
		for i := range n {
			if !elem.plain {
				elem.clone(c, unsafe.Add(is.UnsafePointer(), uintptr(i)*size))
			}
		}
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		v := reflect.NewAt(t, at).Elem()
		n := v.Len()
		h.add(uint64(n))
		for i := range n {
			elem.hash(h, unsafe.Add(v.UnsafePointer(), uintptr(i)*size))
		}
	}
}

// table is the shape of a map: its hash is the same in any order.
func (s *shape) table(t reflect.Type, where string) {
	key, elem := compile(t.Key(), where+"[key]"), compile(t.Elem(), where+"[value]")
	s.plain = false
	s.clone = func(c cloner, at unsafe.Pointer) {
		was := reflect.NewAt(t, at).Elem()
		if was.IsNil() {
			return
		}
		is := reflect.MakeMapWithSize(t, was.Len())
		for it := was.MapRange(); it.Next(); {
			v := it.Value()
			if !elem.plain {
				p := reflect.New(t.Elem())
				p.Elem().Set(v)
				elem.clone(c, p.UnsafePointer())
				v = p.Elem()
			}
			is.SetMapIndex(it.Key(), v)
		}
		was.Set(is)
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		m := reflect.NewAt(t, at).Elem()
		if m.Len() == 0 {
			h.add(0)
			return
		}
		before, sum := h.sum, uint64(0)
		k, v := reflect.New(t.Key()), reflect.New(t.Elem())
		for it := m.MapRange(); it.Next(); {
			k.Elem().SetIterKey(it)
			v.Elem().SetIterValue(it)
			h.sum = 0
			key.hash(h, k.UnsafePointer())
			elem.hash(h, v.UnsafePointer())
			sum += h.sum
		}
		h.sum = before
		h.add(sum)
	}
}

func (s *shape) pointer(t reflect.Type, where string) {
	elem := compile(t.Elem(), where)
	s.plain = false
	s.clone = func(c cloner, at unsafe.Pointer) {
		was := reflect.NewAt(t, at).Elem()
		if was.IsNil() {
			return
		}
		is, ok := c[was.UnsafePointer()]
		if !ok {
			is = reflect.New(t.Elem())
			is.Elem().Set(was.Elem())
			c[was.UnsafePointer()] = is
			elem.clone(c, is.UnsafePointer())
		}
		was.Set(is)
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		p := *(*unsafe.Pointer)(at)
		if p == nil {
			h.add(0)
			return
		}
		h.add(1)
		elem.hash(h, p)
	}
}

// dynamic is the shape of an interface: what is in it follows its own type.
func (s *shape) dynamic(t reflect.Type) {
	s.plain = false
	s.clone = func(c cloner, at unsafe.Pointer) {
		was := reflect.NewAt(t, at).Elem()
		if was.IsNil() {
			return
		}
		is := reflect.New(was.Elem().Type())
		is.Elem().Set(was.Elem())
		shapeOf(is.Type().Elem()).clone(c, is.UnsafePointer())
		was.Set(is.Elem())
	}
	s.hash = func(h *hasher, at unsafe.Pointer) {
		v := reflect.NewAt(t, at).Elem()
		if v.IsNil() {
			h.add(0)
			return
		}
		x := v.Elem()
		h.text(x.Type().Name())
		if x.Kind() == reflect.Pointer {
			h.text(x.Type().Elem().Name())
		}
		p := reflect.New(x.Type())
		p.Elem().Set(x)
		shapeOf(x.Type()).hash(h, p.UnsafePointer())
	}
}

// clone returns a copy of *x that shares nothing with it but functions.
func clone[T any](x *T) *T {
	y := new(T)
	*y = *x
	shapeOf(reflect.TypeFor[T]()).clone(cloner{}, unsafe.Pointer(y))
	return y
}

// hash adds *x to h.
func hash[T any](h *hasher, x *T) {
	shapeOf(reflect.TypeFor[T]()).hash(h, unsafe.Pointer(x))
}

// hashed is the hash of a Ring, and what it was taken against.
type hashed struct {
	sum    uint64
	now    Time
	newest [8]wire.Incarnation
}

// hash is the same for worlds between which no future can tell.
func (g *globe) hash() uint64 {
	h := hasher{globe: g, now: g.now, numbers: map[number]uint64{}}
	newest := [8]wire.Incarnation{}
	for i, p := range g.hosts {
		newest[i] = p.incarnation
		if p.ring != nil {
			newest[i] = max(newest[i], p.ring.own.asked)
		}
	}
	h.newest = newest[:]
	for _, p := range g.hosts {
		h.host(p, newest)
	}
	for w, way := range g.ways {
		if len(way) == 0 {
			continue
		}
		h.add(uint64(w) + 1)
		from, to, _ := ends(w)
		for _, p := range way {
			h.echo = 0
			if d, ok := p.body.(datagram); ok {
				pinger := g.hosts[from]
				if d.ping.Ack {
					pinger = g.hosts[to]
				}
				if pinger.ring != nil {
					h.echo = pinger.ring.detect.echo
				}
			}
			hash(&h, &p)
		}
	}
	for _, from := range g.cut {
		for _, cut := range from {
			h.flag(cut)
		}
	}
	hash(&h, &g.open)
	hash(&h, &g.witness)
	return h.sum
}

func (h *hasher) host(p *host, newest [8]wire.Incarnation) {
	if p.ring != nil && (p.hashed.now != h.now || p.hashed.newest != newest) {
		sum := h.sum
		h.sum = 0
		hash(h, p.ring)
		p.hashed = hashed{h.sum, h.now, newest}
		h.sum = sum
	}
	h.add(p.hashed.sum)
	h.flag(p.ring != nil)
	h.flag(p.dark)
	h.flag(p.dozes)
	h.bytes(p.store[:])
	h.add(uint64(p.state))
	h.add(uint64(newest[p.id] - p.incarnation))
	hash(h, &p.rows)
	versions(h, p.files)
	versions(h, p.synced)
	for _, l := range p.links {
		hash(h, &l)
	}
	for peer, run := range p.sessions { // only that of the run of now is any good
		q := h.globe.hosts[peer]
		h.flag(q.ring != nil && q.run == run)
	}
	for _, t := range p.transfers {
		hash(h, &t)
	}
}

func (h *hasher) flag(b bool) {
	if b {
		h.add(1)
	} else {
		h.add(0)
	}
}

// versions adds which there are: the sum of a version says all of it.
func versions[V any](h *hasher, m map[Version]V) {
	sum := uint64(0)
	for v := range m {
		sum += binary.LittleEndian.Uint64(v.Sum[:])
	}
	h.add(sum)
}

// twins are worlds with one hash that a search has come to in different ways.
type twins struct {
	first map[uint64]met
	pairs [][2]met
}

type met struct {
	*globe
	path string
}

// mostTwins is how many pairs of a scope are compared.
const mostTwins = 20

// take keeps a world if it is one of those that are to have a twin, or is one.
func (t *twins) take(g *globe, sum uint64, path func() string) {
	if sum%64 != 0 || len(t.pairs) == mostTwins {
		return
	}
	m := met{g, path()}
	if first, ok := t.first[sum]; ok {
		t.pairs = append(t.pairs, [2]met{first, m})
	} else {
		t.first[sum] = m
	}
}

// differ says how two worlds that the hash does not tell apart came to behave
// differently: a rule hides what makes a difference.
func (t *twins) differ() error {
	for _, pair := range t.pairs {
		a, b := pair[0].fork(), pair[1].fork()
		countAlike(a, b)
		for _, words := range []string{"arrive", "tick", "wait 1", "wait 3", "get 1", "put 1", "crash 1", "wait 2", "leave 2", "wait 12"} {
			if verb, _, _ := strings.Cut(words, " "); len(a.can(verb)) == 0 {
				continue
			}
			a.perform(words)
			b.perform(words)
			if a.hash() != b.hash() {
				return fmt.Errorf("%s\n\t%s\n\thave one hash, and differ after %q", pair[0].path, pair[1].path, words)
			}
		}
	}
	return nil
}

// countAlike has two worlds go on with the same numbers of requests and votes:
// only whether two of them are equal, or which is higher, means anything.
func countAlike(a, b *globe) {
	for i := range a.hosts {
		p, q := a.host(wire.ID(i)).ring, b.host(wire.ID(i)).ring
		if p != nil && q != nil {
			p.out.req = max(p.out.req, q.out.req)
			q.out.req = p.out.req
			p.detect.sequence = max(p.detect.sequence, q.detect.sequence)
			q.detect.sequence = p.detect.sequence
		}
	}
}
