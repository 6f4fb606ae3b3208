package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

// patience is how long the ring may take to agree on anything, at the least.
const patience = 20 * time.Second

// Who plays. The first seven start; heidi joins a ring that runs; mallory is a
// member, too, but runs no peer: she speaks in others' names.
var firstSeven = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace"}

const (
	eighth = "heidi"
	liar   = "mallory"
)

// prop is a file of the story.
type prop struct {
	file   string
	size   int64
	canary bool // it has the canary in it, and in its name
	by     *actor
	holds  []string // who has a copy
}

// label is the file's name, short enough for a line.
func (p *prop) label() string {
	if p.canary {
		return p.file[:len("CANARY-xx")] + "..."
	}
	return p.file
}

// props are the sizes at which things go wrong, and one that takes a while.
func props(canary string) []*prop {
	return []*prop{
		{file: "empty", size: 0},
		{file: "one-byte", size: 1},
		{file: "64KiB-less-1", size: 64<<10 - 1},
		{file: "64KiB", size: 64 << 10},
		{file: "1MiB", size: 1 << 20},
		{file: "1MiB-and-1", size: 1<<20 + 1},
		{file: canary, size: 5 << 20, canary: true},
		{file: "16MiB", size: 16 << 20},
	}
}

// story is the default demo.
type story struct {
	*console
	stage  *stage
	begun  time.Time
	seed   uint64
	canary string
	props  []*prop
	seen   checks
}

// story tells it all and ends with the table.
func (a *app) story(ctx context.Context, opt demoOptions) (err error) {
	s := &story{console: a.console, begun: time.Now(), seed: opt.seed}
	canary := s.chacha("the canary")
	s.canary = fmt.Sprintf("CANARY-%016x%016x", canary.Uint64(), canary.Uint64())
	roster, err := keys.NewRoster("demo")
	if err != nil {
		return err
	}
	roster.Interval = opt.interval
	if s.stage, err = newStage(&a.interrupts, roster, newPorts(), &tap{needle: []byte(s.canary)}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stage.close()) }()
	s.printf("A ring of real peers on this machine, in %s; file content from seed %d.\n", s.stage.dir, s.seed)

	telling, cancel := limited(ctx, opt.interval)
	defer cancel()
	err = s.tell(telling)
	err = s.judge(s.seen, err)
	if err == nil {
		s.printf("\nAll %d checks held, in %.1f s.\n", len(s.seen), time.Since(s.begun).Seconds())
	}
	if opt.keep && ctx.Err() == nil {
		s.stayUp(ctx)
	}
	return err
}

// tell plays the scenes in their order.
func (s *story) tell(ctx context.Context) error {
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"Seven peers start", s.raise},
		{"An eighth joins the running ring", s.join},
		{"Files are stored", s.store},
		{"Two peers are killed at once", s.kill},
		{"Everything is fetched, from other peers", s.fetch},
		{"A member speaks in others' names", s.forge},
		{"A stranger knocks", s.knock},
		{"What an eavesdropper saw", s.eavesdrop},
	} {
		s.printf("\n%s\n", scene.title)
		s.flush() // an error here is found again at the end
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(scene.title), err)
		}
	}
	return nil
}

// sayf tells what happened, and when.
func (s *story) sayf(format string, args ...any) {
	s.printf("%6.1fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
	s.flush() // an error here is found again at the end
}

// chacha is the story's source of bytes for one purpose.
func (s *story) chacha(purpose string) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s", s.seed, purpose)))
}

// sprinkle is how far the canaries in a file lie apart: at ever other places
// of records and blocks.
const sprinkle = 999_983

// content is what is in a file: always the same bytes.
func (s *story) content(p *prop) io.Reader {
	random := s.chacha(p.file)
	if !p.canary {
		return io.LimitReader(random, p.size)
	}
	var parts []io.Reader
	for at := int64(0); at < p.size; at += sprinkle {
		parts = append(parts, strings.NewReader(s.canary), io.LimitReader(random, sprinkle))
	}
	return io.LimitReader(io.MultiReader(parts...), p.size)
}

// raise starts the first seven at once: nobody is there yet whom one of them
// could ask.
func (s *story) raise(ctx context.Context) error {
	for i, name := range firstSeven {
		if _, err := s.stage.add(wire.ID(i+1), name); err != nil {
			return err
		}
	}
	if _, err := s.stage.add(9, liar); err != nil {
		return err
	}
	if err := s.stage.publish(); err != nil {
		return err
	}
	began := time.Now()
	for _, name := range firstSeven {
		if err := s.start(ctx, name); err != nil {
			return err
		}
	}
	n := len(firstSeven)
	all, err := s.until(ctx, s.stage.started(), "seven peers are one ring", whole(n))
	if err != nil {
		return err
	}
	s.sayf("one ring, the same in the eyes of all seven, %s after they were started:", span(time.Since(began)))
	s.sayf("%s, and round again", strings.Join(all[0].Circle, " > "))
	s.seen.add("seven peers start, one view", "7 of 7", fmt.Sprintf("%d of %d", len(all[0].Circle), n))
	return nil
}

// until is the same with the patience that the ring's interval calls for.
func (s *story) until(ctx context.Context, actors []*actor, what string, so func([]control.Status) bool) ([]control.Status, error) {
	return until(ctx, actors, patience+stepIntervals*s.stage.roster.Interval, what, so)
}

// start starts a peer: at its real address, which only its relay knows.
func (s *story) start(ctx context.Context, name string, more ...string) error {
	a := s.stage.actor(name)
	return s.stage.start(ctx, a, nil, append([]string{"start", "--listen", a.listen.addr()}, more...)...)
}

// whole is the wish that n peers are in one ring and agree.
func whole(n int) func([]control.Status) bool {
	return func(all []control.Status) bool { return agree(all, n) }
}

// join adds a line to the roster of a ring that runs, and starts the peer.
func (s *story) join(ctx context.Context) error {
	newcomer, err := s.stage.add(8, eighth)
	if err != nil {
		return err
	}
	before := s.stage.live()
	if err := s.stage.publish(); err != nil {
		return err
	}
	want := fmt.Sprintf("%x", s.stage.roster.Digest())
	for _, a := range before {
		status, err := a.client.Reload(ctx)
		if err != nil {
			return fmt.Errorf("having %s reload its roster: %w", a.name(), err)
		}
		if status.Roster.Digest != want {
			return fmt.Errorf("%s has roster %s after the reload, want %s", a.name(), status.Roster.Digest, want)
		}
	}
	s.sayf("%s has a line in the roster of everybody, and nobody was restarted", eighth)
	began := time.Now()
	if err := s.start(ctx, eighth, "--join", "alice"); err != nil {
		return err
	}
	all, err := s.until(ctx, s.stage.started(), "eight peers are one ring", whole(8))
	if err != nil {
		return err
	}
	mine := all[slices.IndexFunc(all, func(t control.Status) bool { return t.Name == newcomer.name() })]
	s.sayf("%s is in, %s after its start, between %s and %s", eighth, span(time.Since(began)), mine.Predecessors[0], mine.Successors[0])
	s.seen.add("an eighth joins, nobody is restarted", "8 of 8", fmt.Sprintf("%d of %d", len(mine.Circle), len(all)))
	return nil
}

// store has each file put by another peer.
func (s *story) store(ctx context.Context) error {
	s.props = props(s.canary)
	live := s.stage.live()
	enough := 0
	for i, p := range s.props {
		p.by = live[i%len(live)]
		began := time.Now()
		result, err := p.by.client.Put(ctx, p.file, control.PutInfo{Size: p.size, Mode: 0o644}, s.content(p))
		if err != nil {
			return fmt.Errorf("putting %s: %w", p.file, err)
		}
		p.holds = result.Copies
		if len(result.Copies) >= keys.DefaultCopies && result.Size == p.size {
			enough++
		}
		s.sayf("%-12s  %8s  by %-5s  on the disks of %-17s  in %s", p.label(), size(p.size), p.by.name(), names(result.Copies), span(time.Since(began)))
	}
	s.seen.add("files stored, each on 3 disks before put returns", s.allFiles(), fmt.Sprintf("%d files", enough))
	return nil
}

func (s *story) allFiles() string { return fmt.Sprintf("%d files", len(s.props)) }

// kill ends two that have the largest file, as power cuts would.
func (s *story) kill(ctx context.Context) error {
	victims := s.largest().holds
	if len(victims) < 2 {
		return fmt.Errorf("the largest file is on %s only", names(victims))
	}
	victims = victims[:2]
	for _, name := range victims {
		if err := s.stage.actor(name).process.cmd.Process.Kill(); err != nil {
			return fmt.Errorf("killing %s: %w", name, err)
		}
	}
	began := time.Now()
	for _, name := range victims {
		<-s.stage.actor(name).process.done
	}
	s.sayf("%s and %s, which hold two of the three copies of the largest file", victims[0], victims[1])
	live := s.stage.live()
	all, err := s.until(ctx, live, "six peers have noticed", whole(len(live)))
	if err != nil {
		return err
	}
	s.sayf("the other %d agree on a ring without them %s later: %s", len(all), span(time.Since(began)), strings.Join(all[0].Circle, " > "))
	s.seen.add("two holders killed at once, all others agree", "6 of 6", fmt.Sprintf("%d of %d", len(all[0].Circle), len(all)))
	return nil
}

// fetch gets each file through every peer but the one that put it.
func (s *story) fetch(ctx context.Context) error {
	same, gets := 0, 0
	for _, p := range s.props {
		began := time.Now()
		var readers, sources []string
		for _, reader := range s.stage.live() {
			if reader == p.by {
				continue
			}
			from, err := s.compare(ctx, reader, p)
			if err != nil {
				return err
			}
			readers = append(readers, reader.name())
			if !slices.Contains(sources, from) {
				sources = append(sources, from)
			}
		}
		same++
		gets += len(readers)
		s.sayf("%-12s  at %s, from %s: the same bytes  in %s", p.label(), names(readers), names(sources), span(time.Since(began)))
	}
	s.seen.add(fmt.Sprintf("everything fetched by all others, %d times, and compared", gets), s.allFiles(), fmt.Sprintf("%d files", same))
	return nil
}

func (s *story) largest() *prop { return s.props[len(s.props)-1] }

// compare gets a file through a peer and holds it against what was put.
func (s *story) compare(ctx context.Context, reader *actor, p *prop) (from string, err error) {
	download, err := reader.client.Get(ctx, p.file, control.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("getting %s at %s: %w", p.file, reader.name(), err)
	}
	defer download.Close()
	want := &comparison{want: s.content(p)}
	result, err := download.CopyTo(want)
	if err != nil {
		return "", fmt.Errorf("getting %s at %s: %w", p.file, reader.name(), err)
	}
	if want.n != p.size {
		return "", fmt.Errorf("%s has %d bytes at %s, want %d", p.file, want.n, reader.name(), p.size)
	}
	return result.From, nil
}

// comparison is a writer that takes only the bytes of want.
type comparison struct {
	want io.Reader
	n    int64
	buf  []byte
}

func (c *comparison) Write(p []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], len(p))[:len(p)]
	if _, err := io.ReadFull(c.want, c.buf); err != nil || !bytes.Equal(c.buf, p) {
		return 0, fmt.Errorf("other bytes than were put, within %d of byte %d", len(p), c.n)
	}
	c.n += int64(len(p))
	return len(p), nil
}

// forge has the liar speak for others, over links that she may open: as a dead
// peer that joins again, as a living one that leaves, as an observer, and as
// the writer of somebody's file.
func (s *story) forge(ctx context.Context) error {
	live := s.stage.live()
	before, err := statuses(ctx, live)
	if err != nil {
		return err
	}
	f := forger{self: s.stage.actor(liar), roster: s.stage.roster}
	target, victim, observer := live[0], live[1].member, live[2].member
	dead := s.stage.actor(s.largest().holds[0]).member
	file := s.props[1]
	writer := file.by.member
	forged := f.manifest(writer.ID, file.file, 1<<20)
	s.sayf("%s, with her own key, tells %s: I am %s and join; %s leaves; %s finds %s silent;", liar, target.name(), dead.Name, victim.Name, observer.Name, victim.Name)
	s.sayf("here is a new version of file %s by %s, to pull, and here are its bytes", file.file, writer.Name)
	err = f.say(ctx, target.member,
		wire.Rows{Rows: []wire.Row{f.row(dead.ID, wire.Joining)}},
		wire.Rows{Rows: []wire.Row{f.row(victim.ID, wire.Left)}},
		wire.Rows{Votes: []wire.Vote{f.vote(observer.ID, victim.ID, before[1].Incarnation)}},
		wire.Offer{Req: 1, Source: f.self.member.ID, Manifest: forged},
	)
	if err != nil {
		return err
	}
	code, err := f.put(ctx, target.member, forged)
	if err != nil {
		return err
	}
	if code != wire.CodeForbidden {
		s.sayf("the put was answered with code %d, not with %d", code, wire.CodeForbidden)
	}
	const lies = 5
	refused := func(all []control.Status) bool { return refusals(all[0], liar) >= lies }
	all, err := s.until(ctx, []*actor{target}, "all of it is refused", refused)
	if all == nil {
		return err
	}
	s.seen.add("a member's join, leave, vote, offer, put in others' names", "5 refused", fmt.Sprintf("%d refused", refusals(all[0], liar)))
	if err := s.unmoved(ctx, "the ring after these lies", live, before); err != nil {
		return err
	}
	_, err = s.compare(ctx, target, file)
	return err
}

// refusals counts what a peer refused from another, or from strangers ("").
func refusals(s control.Status, peer string) (n uint64) {
	for _, r := range s.Refused {
		if r.Peer == peer {
			n += r.Count
		}
	}
	return n
}

// unmoved checks that all see the ring as they did before.
func (s *story) unmoved(ctx context.Context, what string, actors []*actor, before []control.Status) error {
	after, err := statuses(ctx, actors)
	if err != nil {
		return err
	}
	same := "unchanged"
	for i := range after {
		if a, b := sight(before[i]), sight(after[i]); a != b {
			same = "changed"
			s.sayf("%s saw %s and now sees %s", after[i].Name, a, b)
		}
	}
	s.seen.add(what, "unchanged", same)
	return nil
}

// sight is the ring as a peer sees it.
func sight(s control.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", strings.Join(s.Circle, " > "))
	for _, m := range s.Members {
		fmt.Fprintf(&b, " %s %s %d", m.Name, m.State, m.Incarnation)
		if m.Unreachable {
			b.WriteString(" unreachable")
		}
	}
	return b.String()
}

// maxLogged is how many lines a peer may write to its log about strangers: one
// for each cause and second.
const maxLogged = 20

// knock has somebody who is not in the roster try everything at one peer.
func (s *story) knock(ctx context.Context) error {
	live := s.stage.live()
	before, err := statuses(ctx, live)
	if err != nil {
		return err
	}
	target := live[1]
	frame, datagram := target.relay.recorded()
	if frame == nil || datagram == nil {
		return fmt.Errorf("nobody has dialled or pinged %s yet", target.name())
	}
	all, err := strangers(s.stage.roster.Ring, target.member.Key, frame)
	if err != nil {
		return err
	}
	logged := target.logged()
	var what []string
	for _, stranger := range all {
		what = append(what, stranger.what)
	}
	s.sayf("at %s over TCP: %s", target.name(), strings.Join(what, ", "))
	back, err := knockAll(ctx, target.member.Addr, all)
	if err != nil {
		return err
	}
	var answered int64
	for i, n := range back {
		if answered += n; n > 0 {
			s.sayf("%s got %d bytes back", what[i], n)
		}
	}
	s.seen.add(fmt.Sprintf("a stranger on TCP, in %d ways", len(all)), "0 bytes back", fmt.Sprintf("%d bytes back", answered))
	sent, echoed, err := shout(target.member.Addr, datagram)
	if err != nil {
		return err
	}
	s.sayf("and over UDP: %d datagrams, random and recorded ones", sent)
	s.seen.add(fmt.Sprintf("a stranger on UDP, %d datagrams", sent), "0 bytes back", fmt.Sprintf("%d bytes back", echoed))
	lines := target.logged() - logged
	s.seen.judge("what the peer logs about it", fmt.Sprintf("at most %d lines", maxLogged), fmt.Sprintf("%d lines", lines), lines <= maxLogged)
	return s.unmoved(ctx, "the ring after all that knocking", live, before)
}

// eavesdrop adds up what the relays saw, and shows that they would have seen
// the canary.
func (s *story) eavesdrop(ctx context.Context) error {
	all, err := statuses(ctx, s.stage.live())
	if err != nil {
		return err
	}
	var moved uint64
	for _, status := range all {
		moved += status.BytesIn
	}
	t := &s.stage.tap.tally
	passed := t.streamBytes.Load()
	s.sayf("%s over %d connections and %d datagrams went through the relays before the peers", size(passed), t.streams.Load(), t.datagrams.Load())
	s.seen.judge("bytes searched: all that the peers received of files", "at least "+size(int64(moved)), size(passed), passed >= int64(moved) && moved > 0)
	s.seen.add("the canary, in a file's name and content, on the wire", "0 times", fmt.Sprintf("%d times", t.hits.Load()))
	hits, err := plainSample(ctx, s.stage.ports, s.canary)
	if err != nil {
		return err
	}
	s.seen.add("the same relays, given the canary in plain", "2 times", fmt.Sprintf("%d times", hits))
	return nil
}

// stayUp leaves the ring to the user until Ctrl-C.
func (s *story) stayUp(ctx context.Context) {
	s.printf("\nThe ring stays up. In another terminal:\n")
	for _, line := range []string{"status", "ring", "put FILE", "ls", "monitor --pings"} {
		s.printf("  %s --dir %s %s\n", s.stage.program, s.stage.live()[0].dir, line)
	}
	s.printf("Each peer has a folder in %s. Ctrl-C here ends them all and removes it.\n", s.stage.dir)
	s.flush() // an error here is found again at the end
	<-ctx.Done()
}
