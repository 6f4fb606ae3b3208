package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

// The classic ring: seven peers of a ring of 256, whose names are their
// numbers, each watched by two others and pinged every 3 s.
var classicPeers = []wire.ID{2, 4, 5, 8, 9, 14, 19}

const (
	classicJoiner   = 15 // comes to a ring that runs
	classicInterval = 3 * time.Second
	classicFile     = 300 << 10 // bytes of the files that are stored and requested

	// stepIntervals is how long a step may take, in intervals, before what is
	// missing counts as missing.
	stepIntervals = 8
	// settleIntervals is how long nothing more may be said after a step.
	settleIntervals = 2
	// gatherPart of an interval is how long lines are held back, so that those
	// of different peers can be put in the order in which they were said.
	gatherPart = 60
)

// utterance is a line of the classic demo: of a peer, or of the demo itself.
type utterance struct {
	peer string // "": the demo
	text string
	note bool      // about the demo, not of the transcript
	at   time.Time // when a peer said it
}

// classicRing is one fresh ring, in which some of the steps are played.
type classicRing struct {
	stage      *stage
	ports      *ports // of all rings
	interrupts *interrupts
	interval   time.Duration
	said       chan utterance // what is to be shown, in order
	heard      chan utterance // what peers say, as it comes
	faults     []string
}

// classic plays the seven steps in four fresh rings. The rings run side by
// side and are shown one after the other.
func (a *app) classic(ctx context.Context, interval time.Duration) error {
	began := time.Now()
	ctx, done := limited(ctx, interval)
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	plays := []func(*classicRing, context.Context) error{
		(*classicRing).playJoin, (*classicRing).playQuit, (*classicRing).playDeath, (*classicRing).playFiles,
	}
	rings, errs := make([]*classicRing, len(plays)), make([]error, len(plays))
	var running sync.WaitGroup
	ports := newPorts()
	for i, play := range plays {
		rings[i] = &classicRing{
			ports:      ports,
			interrupts: &a.interrupts,
			interval:   interval,
			said:       make(chan utterance, 1024), // more than it ever says: none waits for the one that is shown
			heard:      make(chan utterance, 1024), // likewise
		}
		running.Go(func() { // ends with the play, or with ctx
			defer close(rings[i].said)
			if errs[i] = rings[i].run(ctx, play); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	var faults []string
	for _, r := range rings {
		for u := range r.said {
			a.utter(u)
		}
		faults = append(faults, r.faults...)
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err // of all of them, if one ended the others
		}
	}
	for _, f := range faults {
		a.notef("%s", f)
	}
	if len(faults) > 0 {
		return &fault{code: exitOther, err: fmt.Errorf("the transcript has %s", count(len(faults), "fault"))}
	}
	a.notef("every line of the seven steps came, from the right peer, in the right order, and no other; in %s", span(time.Since(began)))
	return nil
}

// utter shows a line, at once.
func (a *app) utter(u utterance) {
	switch {
	case u.note:
		a.notef("%s", u.text)
	case u.peer == "":
		a.printf("%s\n", u.text)
	default:
		a.printf("[%s] %s\n", u.peer, u.text)
	}
	a.flush() // an error here is found again at the end
}

// run plays some of the steps in a ring of its own.
func (r *classicRing) run(ctx context.Context, play func(*classicRing, context.Context) error) (err error) {
	roster, err := keys.NewRoster("classic")
	if err != nil {
		return err
	}
	roster.Space, roster.Observers, roster.Route, roster.Interval = wire.Space8, 2, keys.Walk, r.interval
	if r.stage, err = newStage(r.interrupts, roster, r.ports, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stage.close()) }()
	return play(r, ctx)
}

// launch starts the seven and returns when their views are the same.
func (r *classicRing) launch(ctx context.Context) ([]control.Status, error) {
	for _, id := range classicPeers {
		if _, err := r.stage.add(id, id.String()); err != nil {
			return nil, err
		}
	}
	// A member that is not there is no part of a ring, so that the one that
	// joins later can have its line now.
	if _, err := r.stage.add(classicJoiner, strconv.Itoa(classicJoiner)); err != nil {
		return nil, err
	}
	if err := r.stage.publish(); err != nil {
		return nil, err
	}
	n := len(classicPeers)
	for i, id := range classicPeers {
		first, second := classicPeers[(i+1)%n], classicPeers[(i+2)%n]
		err := r.stage.start(ctx, r.peer(id), nil, "init", id.String(), first.String(), second.String(), r.interval.String())
		if err != nil {
			return nil, err
		}
	}
	return until(ctx, r.stage.started(), stepIntervals*r.interval+patience, "seven views are equal", func(all []control.Status) bool { return agree(all, n) })
}

func (r *classicRing) peer(id wire.ID) *actor { return r.stage.actor(id.String()) }

func (r *classicRing) notef(format string, args ...any) {
	r.said <- utterance{text: fmt.Sprintf(format, args...), note: true}
}

// listen has all peers that run say what happens at them from now on, until
// stop.
func (r *classicRing) listen(ctx context.Context, pings control.Pings) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	stop = func() {
		cancel()
		listening.Wait()
	}
	for _, a := range r.stage.live() {
		events, err := a.client.Watch(ctx, pings)
		if err != nil {
			stop()
			return nil, fmt.Errorf("listening to %s: %w", a.name(), err)
		}
		listening.Go(func() { // ends with the peer, or with stop
			for e, err := range events {
				if err != nil {
					return // whether the peer should have ended is seen after the step
				}
				if text, d, ok := sentence(e); ok && (d != debugging || e.Kind == "gap") {
					r.hear(ctx, utterance{peer: a.name(), text: text, at: e.Time})
				}
			}
		})
	}
	return stop, nil
}

func (r *classicRing) hear(ctx context.Context, u utterance) {
	select {
	case r.heard <- u:
	case <-ctx.Done():
	}
}

// gather shows first and what is said within a moment of it, in the order of
// its time, and adds it to got: the peers' clock is one and the same, but each
// has a stream of its own.
func (r *classicRing) gather(ctx context.Context, first utterance, got script) {
	moment, cancel := context.WithTimeout(ctx, r.interval/gatherPart)
	defer cancel()
	all := []utterance{first}
	for moment.Err() == nil {
		select {
		case u := <-r.heard:
			all = append(all, u)
		case <-moment.Done():
		}
	}
	slices.SortStableFunc(all, func(a, b utterance) int { return a.at.Compare(b.at) })
	for _, u := range all {
		r.said <- u
		got[u.peer] = append(got[u.peer], u.text)
	}
}

// step does something and shows what the peers say to it: until all of the
// script was said, and a little longer.
func (r *classicRing) step(ctx context.Context, n int, title string, act func() error) error {
	r.notef("step %d: %s", n, title)
	stop, err := r.listen(ctx, false)
	if err != nil {
		return err
	}
	defer stop()
	if err := act(); err != nil {
		return err
	}
	want, got := classicScripts[n], script{}
	late := time.NewTimer(stepIntervals*r.interval + patience/4)
	defer late.Stop()
	for complete := false; ; {
		select {
		case u := <-r.heard:
			r.gather(ctx, u, got)
			if !complete && len(want.faults(got, ordered)) == 0 {
				complete = true
				late.Reset(settleIntervals * r.interval)
			}
		case <-late.C:
			r.judge(n, want.faults(got, ordered))
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *classicRing) judge(n int, faults []string) {
	for _, f := range faults {
		r.faults = append(r.faults, fmt.Sprintf("step %d: %s", n, f))
	}
}

// stillRun checks that no peer has ended but those.
func (r *classicRing) stillRun(but ...wire.ID) error {
	for _, a := range r.stage.cast {
		if a.process != nil && !a.running() && !slices.Contains(but, a.member.ID) {
			return a.ended()
		}
	}
	return nil
}

// playJoin is steps 1 to 3: seven start, ping each other, and let 15 in.
func (r *classicRing) playJoin(ctx context.Context) error {
	r.notef("step 1: seven peers start")
	all, err := r.launch(ctx)
	if err != nil {
		return err
	}
	r.said <- utterance{text: "Launching nodes:"}
	for _, s := range all {
		r.said <- utterance{text: fmt.Sprintf("Peer[%s]->%s->%s", s.Name, s.Successors[0], s.Successors[1])}
	}
	if err := r.showPings(ctx, all[0].Circle); err != nil {
		return err
	}
	err = r.step(ctx, 3, "peer 15 joins through 4", func() error {
		out := &lines{f: func(line string) { r.hear(ctx, utterance{peer: "15", text: line, at: time.Now()}) }}
		return r.stage.start(ctx, r.peer(classicJoiner), out, "join", "15", "4", r.interval.String())
	})
	return errors.Join(err, r.stillRun())
}

// showPings is step 2: the pings of one interval.
func (r *classicRing) showPings(ctx context.Context, circle []string) error {
	r.notef("step 2: the pings of one interval")
	stop, err := r.listen(ctx, true)
	if err != nil {
		return err
	}
	defer stop()
	begin, err := r.quietMoment(ctx)
	if err != nil {
		return err
	}
	end := time.NewTimer(time.Until(begin.Add(r.interval)))
	defer end.Stop()
	for got := (script{}); ; {
		select {
		case u := <-r.heard:
			if !u.at.Before(begin) {
				r.gather(ctx, u, got)
			}
		case <-end.C:
			r.judge(2, pingScript(circle).faults(got, unordered))
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// quietMoment listens to the pings of one interval and returns a moment in the
// next one that lies in the middle of their longest silence, so that no ping
// is cut from its ack.
func (r *classicRing) quietMoment(ctx context.Context) (time.Time, error) {
	began := time.Now()
	end := time.NewTimer(r.interval)
	defer end.Stop()
	var phases []time.Duration // when in the interval something was said
	for {
		select {
		case u := <-r.heard:
			if phase := u.at.Sub(began); phase >= 0 && phase < r.interval {
				phases = append(phases, phase)
			}
		case <-end.C:
			return began.Add(r.interval + longestSilence(phases, r.interval)), nil
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// longestSilence returns the middle of the longest gap between phases of an
// interval that comes again and again.
func longestSilence(phases []time.Duration, interval time.Duration) (middle time.Duration) {
	slices.Sort(phases)
	var longest time.Duration
	for i, phase := range phases {
		next := interval + phases[0]
		if i+1 < len(phases) {
			next = phases[i+1]
		}
		if gap := next - phase; gap > longest {
			longest, middle = gap, (phase+gap/2)%interval
		}
	}
	return middle
}

// playQuit is step 4.
func (r *classicRing) playQuit(ctx context.Context) error {
	if _, err := r.launch(ctx); err != nil {
		return err
	}
	err := r.step(ctx, 4, "peer 9 quits", func() error { return r.peer(9).tell("Quit") })
	return errors.Join(err, r.stillRun(9))
}

// playDeath is step 5.
func (r *classicRing) playDeath(ctx context.Context) error {
	if _, err := r.launch(ctx); err != nil {
		return err
	}
	err := r.step(ctx, 5, "peer 14 is killed", func() error { return r.peer(14).process.cmd.Process.Kill() })
	return errors.Join(err, r.stillRun(14))
}

// playFiles is steps 6 and 7: 2067 is stored at 8, and 4103, which is in the
// ring already, requested at 2.
func (r *classicRing) playFiles(ctx context.Context) error {
	if _, err := r.launch(ctx); err != nil {
		return err
	}
	content := make([]byte, classicFile)
	rand.Read(content) // never fails
	info := control.PutInfo{Size: classicFile, Mode: 0o644}
	if _, err := r.peer(19).client.Put(ctx, "4103", info, bytes.NewReader(content)); err != nil {
		return fmt.Errorf("putting 4103: %w", err)
	}
	err := r.step(ctx, 6, "file 2067 is stored at peer 8", func() error {
		if err := os.WriteFile(filepath.Join(r.peer(8).dir, "2067.pdf"), content[1:], 0o644); err != nil {
			return err
		}
		return r.peer(8).tell("Store 2067")
	})
	if err != nil {
		return err
	}
	err = r.step(ctx, 7, "file 4103 is requested at peer 2", func() error { return r.peer(2).tell("Request 4103") })
	if err != nil {
		return err
	}
	received, err := os.ReadFile(filepath.Join(r.peer(2).dir, "received_4103.pdf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(received, content) {
		r.judge(7, []string{fmt.Sprintf("received_4103.pdf has %d bytes, which are not those that were stored", len(received))})
	}
	return r.stillRun()
}
