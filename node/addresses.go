package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"securepeer/keys"
)

// Implementation constants.
const (
	// lookupAgain is how long an answer of the name server is used without
	// asking again.
	lookupAgain = time.Minute
	// lookupSoon is the least time between two lookups of a name that does not
	// lead to its member, and lookupPace that between any two such lookups.
	lookupSoon = 2 * time.Second
	lookupPace = 100 * time.Millisecond
	// lookupTime is how long one may take: a resolver tries several servers,
	// 5 s each.
	lookupTime = 20 * time.Second
	// maxLookups is how many are under way at once.
	maxLookups = 8
	// maxAddresses is how many addresses of one member are used.
	maxAddresses = 16
	// unanswered is how many pings in a row may stay without an ack at one
	// address until the next is tried.
	unanswered = 2
	// pingsKept is how many pings to a member are remembered: a round.
	pingsKept = 8
)

// addresses is the address book, of links and pings alike: where the members
// of the roster may be reached. Names are looked up in the background, so that
// no ping waits for a name server. When the name server fails, what it last
// said stays, and so does what last worked. No address is learned from a
// datagram: a member that dials shows the one it has, and only its own.
type addresses struct {
	ctx     context.Context // ends the lookups
	work    *sync.WaitGroup // counts them
	places  chan struct{}   // maxLookups: one for each that asks
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	known map[string]*address     // by HOST:PORT
	hosts map[netip.Addr]struct{} // of the roster and the name server
	soon  time.Time               // no lookup for lookupPace's sake before
	news  bool                    // there is something to save
}

// address is what is known of one HOST:PORT.
type address struct {
	host    string
	port    uint16
	literal bool
	answers []netip.Addr // the newest good answer, in its order; a literal itself
	worked  netip.Addr   // where a dial last reached the member; zero: nowhere
	met     netip.Addr   // where its own last link came from
	failed  []netip.Addr // what did not lead to it when last tried

	asked   time.Time
	looking chan struct{} // closed when the lookup under way has ended; nil: none is
	problem error         // of the last lookup

	stood  netip.Addr          // the other end of the link of now, or the last
	pinged netip.Addr          // where pings go; zero: the first in order
	sent   [pingsKept]pingedAt // where the newest went
	silent int                 // how many since the last ack
}

// pingedAt is where one ping went.
type pingedAt struct {
	echo uint64
	at   netip.Addr
}

func newAddresses(ctx context.Context, work *sync.WaitGroup, resolve func(context.Context, string) ([]netip.Addr, error)) *addresses {
	return &addresses{ctx: ctx, work: work, places: make(chan struct{}, maxLookups), resolve: resolve,
		known: make(map[string]*address), hosts: make(map[netip.Addr]struct{})}
}

// systemResolve asks the operating system's resolver.
func systemResolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// learn begins to look up every address of a roster, and forgets all others.
func (a *addresses) learn(b *book) {
	listed := make(map[string]bool, len(b.Members))
	for _, m := range b.Members {
		listed[m.Addr] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.known, func(hostport string, _ *address) bool { return !listed[hostport] })
	a.countLocked()
	for hostport := range listed {
		a.refreshLocked(a.entryLocked(hostport), lookupAgain)
	}
}

// countLocked makes hosts those of the roster and of the newest answers.
func (a *addresses) countLocked() {
	clear(a.hosts)
	for _, e := range a.known {
		for _, ip := range e.answers {
			a.hosts[ip] = struct{}{}
		}
	}
}

// has reports whether ip is an address of the roster, as far as it is known.
func (a *addresses) has(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.hosts[ip]
	return ok
}

// entryLocked returns what is known of hostport, which the roster has.
func (a *addresses) entryLocked(hostport string) *address {
	e := a.known[hostport]
	if e != nil {
		return e
	}
	e = &address{}
	host, port, _ := net.SplitHostPort(hostport) // a roster's is right
	number, _ := strconv.ParseUint(port, 10, 16) // the same
	e.host, e.port = host, uint16(number)
	if ip, err := netip.ParseAddr(host); err == nil {
		e.literal, e.answers = true, []netip.Addr{ip.Unmap()}
		a.hosts[ip.Unmap()] = struct{}{}
	}
	a.known[hostport] = e
	return e
}

// refreshLocked begins a lookup, unless one is under way or the last is
// younger than age.
func (a *addresses) refreshLocked(e *address, age time.Duration) {
	if e.literal || e.looking != nil || !e.asked.IsZero() && time.Since(e.asked) < age || a.ctx.Err() != nil {
		return
	}
	e.asked, e.looking = time.Now(), make(chan struct{})
	// Ends by its own timeout or with ctx; the node's Close waits for it.
	a.work.Go(func() { a.lookup(e) })
}

// trouble has the name of hostport looked up soon: where it led its member is
// not, or no longer.
func (a *addresses) trouble(hostport string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.known[hostport]; e != nil {
		a.troubleLocked(e)
	}
}

func (a *addresses) troubleLocked(e *address) {
	if now := time.Now(); !e.literal && now.After(a.soon) && now.Sub(e.asked) >= lookupSoon {
		a.soon = now.Add(lookupPace)
		a.refreshLocked(e, lookupSoon)
	}
}

func (a *addresses) lookup(e *address) {
	var found []netip.Addr
	var err error
	select {
	case a.places <- struct{}{}:
		ctx, cancel := context.WithTimeout(a.ctx, lookupTime)
		found, err = a.resolve(ctx, e.host)
		cancel()
		<-a.places
	case <-a.ctx.Done():
		err = a.ctx.Err()
	}
	if err == nil {
		found, err = usable(found)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	close(e.looking)
	e.looking, e.problem = nil, err
	if err != nil || slices.Equal(found, e.answers) {
		return
	}
	a.news = a.news || !sameSet(found, e.answers)
	e.answers, e.failed = found, nil
	a.countLocked()
}

func sameSet(a, b []netip.Addr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(ip netip.Addr) bool { return !slices.Contains(b, ip) })
}

// usable returns the addresses of an answer that can be dialled, the families
// in turn (RFC 8305, section 4).
func usable(found []netip.Addr) ([]netip.Addr, error) {
	var families [2][]netip.Addr // that of the first address first
	err := errors.New("it has no address")
	for _, ip := range found {
		ip = ip.Unmap()
		if bad := keys.CheckIP(ip); bad != nil {
			err = bad
			continue
		}
		i := 0
		if ip.Is4() != found[0].Unmap().Is4() {
			i = 1
		}
		if !slices.Contains(families[i], ip) {
			families[i] = append(families[i], ip)
		}
	}
	var list []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) && len(list) < maxAddresses {
				list = append(list, family[i])
			}
		}
	}
	if len(list) == 0 {
		return nil, err
	}
	return list, nil
}

// order returns where to try, in that order: what last worked, the newest good
// answer, and where the member itself dialled from; of these, those that did
// not lead to it when last tried at the end.
func (e *address) order() []netip.Addr {
	list := make([]netip.Addr, 0, len(e.answers)+2)
	for _, ip := range append(append([]netip.Addr{e.worked}, e.answers...), e.met) {
		if ip.IsValid() && !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	slices.SortStableFunc(list, func(x, y netip.Addr) int {
		return slices.Index(e.failed, x) - slices.Index(e.failed, y) // -1: none
	})
	return list[:min(len(list), maxAddresses)]
}

// find returns where hostport may be dialled. It waits for the name server only
// if nothing is known yet.
func (a *addresses) find(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	for asked := false; ; asked = true {
		a.mu.Lock()
		e := a.entryLocked(hostport)
		a.refreshLocked(e, lookupAgain)
		list, looking, problem := e.order(), e.looking, e.problem
		if len(list) == 0 && looking == nil && !asked {
			a.refreshLocked(e, lookupSoon)
			looking = e.looking
		}
		a.mu.Unlock()
		switch {
		case len(list) > 0:
			return withPort(list, e.port), nil
		case looking == nil:
			return nil, &ownError{fmt.Sprintf("the name %s leads nowhere on this machine", e.host), problem}
		}
		select {
		case <-looking:
		case <-ctx.Done():
			return nil, &ownError{fmt.Sprintf("the name %s is not found in time on this machine", e.host), ctx.Err()}
		}
	}
}

// unknown says why find would wait, or find nothing.
func (a *addresses) unknown(hostport string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(hostport)
	return &ownError{fmt.Sprintf("the name %s leads nowhere on this machine", e.host), e.problem}
}

func withPort(list []netip.Addr, port uint16) []netip.AddrPort {
	with := make([]netip.AddrPort, len(list))
	for i, ip := range list {
		with[i] = netip.AddrPortFrom(ip, port)
	}
	return with
}

// reached notes that a dial found the member there, missed that it did not.
func (a *addresses) reached(hostport string, at netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[hostport]
	if e == nil {
		return // dropped from the roster meanwhile
	}
	a.news = a.news || e.worked != at
	e.worked = at
	e.failed = slices.DeleteFunc(e.failed, func(ip netip.Addr) bool { return ip == at })
}

func (a *addresses) missed(hostport string, at netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[hostport]
	if e == nil {
		return // dropped from the roster meanwhile
	}
	e.failed = slices.DeleteFunc(e.failed, func(ip netip.Addr) bool { return ip == at })
	if e.failed = append(e.failed, at); len(e.failed) > maxAddresses {
		e.failed = e.failed[1:]
	}
	a.troubleLocked(e)
}

// linked notes where a link with the member stands. Pings go there from now;
// but if it was the member that dialled, from an address that is no answer of
// the name server and so perhaps that of a router before it, only if pings
// elsewhere are not acked.
func (a *addresses) linked(hostport string, at netip.Addr, dialled bool) {
	if at = at.Unmap(); !at.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[hostport]
	if e == nil {
		return // dropped from the roster meanwhile
	}
	if !dialled {
		a.news = a.news || e.met != at
		e.met = at
	}
	if e.stood == at {
		return
	}
	e.stood = at
	if dialled || slices.Contains(e.answers, at) || len(e.answers) == 0 || e.silent > 0 {
		e.pinged, e.silent = at, 0
	}
}

// ping returns where a ping to hostport is to be sent, the best first; nothing
// if no address is known. If pings are not acked where they went, others are
// tried in turn, and the name is looked up.
func (a *addresses) ping(hostport string) []netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(hostport)
	a.refreshLocked(e, lookupAgain)
	list := e.order()
	i := slices.Index(list, e.pinged)
	if i > 0 && e.silent < unanswered {
		list = append(append([]netip.Addr{}, list[i:]...), list[:i]...)
	}
	if e.silent >= unanswered {
		a.troubleLocked(e)
		i++ // the next one; the first, if pings went to none of them
		list = append(append([]netip.Addr{}, list[i%max(len(list), 1):]...), list[:i%max(len(list), 1)]...)
	}
	e.silent++
	return withPort(list, e.port)
}

// sent notes where the ping with that echo went.
func (a *addresses) sent(hostport string, echo uint64, at netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[hostport]
	if e == nil {
		return // dropped from the roster meanwhile
	}
	e.pinged = at
	e.sent[echo%pingsKept] = pingedAt{echo, at}
}

// acked notes that the ping with that echo arrived where it went: the next
// ones go there.
func (a *addresses) acked(hostport string, echo uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[hostport]
	if e == nil {
		return // dropped from the roster meanwhile
	}
	e.silent = 0
	if s := e.sent[echo%pingsKept]; s.echo == echo && s.at.IsValid() {
		e.pinged = s.at
	}
}

// loopback says that self, this peer's own HOST:PORT, leads back to this
// machine while others are elsewhere, as Debian's /etc/hosts has it: so this
// machine cannot know whether it leads the others here. It says so until
// another machine has dialled this one.
func (a *addresses) loopback(self string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.known[self]
	if e == nil || len(e.answers) == 0 || slices.ContainsFunc(e.answers, isElsewhere) {
		return ""
	}
	elsewhere := false
	for hostport, other := range a.known {
		if hostport == self {
			continue
		}
		if other.met.IsValid() && isElsewhere(other.met) {
			return ""
		}
		elsewhere = elsewhere || slices.ContainsFunc(other.answers, isElsewhere)
	}
	switch {
	case !elsewhere:
		return ""
	case e.literal:
		return fmt.Sprintf("the roster has this peer at %s, where no other machine finds it", self)
	}
	return fmt.Sprintf("on this machine %s is %s, the machine itself: the others find this peer only if the name leads them to another address",
		e.host, e.answers[0])
}

func isElsewhere(ip netip.Addr) bool { return !ip.IsLoopback() }

// stateAddresses is the name of what save returns among the states on disk.
const stateAddresses = "addresses"

// save returns what a restart without a name server needs, if there is news: a
// line for each name of the roster, HOST:PORT and its addresses in order.
func (a *addresses) save() (text []byte, news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news, a.news = a.news, false
	for _, hostport := range slices.Sorted(maps.Keys(a.known)) {
		e := a.known[hostport]
		if list := e.order(); !e.literal && len(list) > 0 {
			text = append(text, hostport...)
			for _, ip := range list {
				text = fmt.Appendf(text, " %s", ip)
			}
			text = append(text, '\n')
		}
	}
	return text, news
}

// load takes what an earlier run has saved, of the names of this roster: it
// stands until the name server answers. A line that does not parse is
// ignored.
func (a *addresses) load(text []byte, b *book) {
	listed := make(map[string]bool, len(b.Members))
	for _, m := range b.Members {
		listed[m.Addr] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || !listed[words[0]] {
			continue
		}
		e := a.entryLocked(words[0])
		for _, word := range words[1:min(len(words), maxAddresses+1)] {
			if ip, err := netip.ParseAddr(word); err == nil && keys.CheckIP(ip) == nil && !e.literal {
				e.answers = append(e.answers, ip)
			}
		}
		if len(e.answers) > 0 {
			e.worked = e.answers[0]
		}
	}
	a.countLocked()
}
