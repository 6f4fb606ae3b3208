package ring

import (
	"slices"
	"testing"
	"time"

	"securepeer/wire"
)

// asked returns who was sent a Look, and by which number.
func asked(acts []Action) map[wire.ID]uint32 {
	who := map[wire.ID]uint32{}
	for _, a := range acts {
		switch a := a.(type) {
		case Send:
			if m, ok := a.Msg.(wire.Look); ok {
				who[a.To] = m.Req
			}
		case Answer:
			who[10] = a.Req
		}
	}
	return who
}

var file3 = wire.Manifest{Name: "0015", Version: 3, Writer: 30, Signer: 30, Size: 1}

// TestGetVerdict is the table of design.md, section 8: what is said after
// which answers. Home holders of key 15 are 20, 30 and 40.
func TestGetVerdict(t *testing.T) {
	has := func(m ...wire.Manifest) wire.Found { return wire.Found{Home: true, Manifests: m} }
	behind := func(m ...wire.Manifest) wire.Found {
		return wire.Found{Home: true, Code: wire.CodeBehind, Manifests: m}
	}
	no := wire.Found{Home: true}
	newer := file3
	newer.Version = 4
	gone := newer
	gone.Flags, gone.Size = wire.Tombstone, 0
	also := wire.Manifest{Name: "0015", Version: 9, Writer: 40, Signer: 40}
	other := file3
	other.Name = "another"
	for _, c := range []struct {
		name    string
		answers map[wire.ID]wire.Found
		version uint64    // fetched
		sources []wire.ID // of it
		outcome Outcome   // if version is 0
		silent  []wire.ID
		one     bool
		alsoBy  []wire.ID
	}{
		{name: "all have it", answers: map[wire.ID]wire.Found{20: has(file3), 30: has(file3), 40: has(file3)},
			version: 3, sources: []wire.ID{20, 30}}, // two are enough
		{name: "one has a newer one", answers: map[wire.ID]wire.Found{20: has(file3), 30: has(newer), 40: has(file3)},
			version: 4, sources: []wire.ID{30}},
		{name: "one has it", answers: map[wire.ID]wire.Found{20: no, 30: no, 40: has(file3)}, version: 3, sources: []wire.ID{40}},
		{name: "every home holder says no", answers: map[wire.ID]wire.Found{20: no, 30: no, 40: no}, outcome: NotFound},
		{name: "one is behind", answers: map[wire.ID]wire.Found{20: no, 30: no, 40: behind()},
			outcome: Unavailable, silent: []wire.ID{40}},
		{name: "one that is behind has it", answers: map[wire.ID]wire.Found{20: no, 30: no, 40: behind(file3)},
			version: 3, sources: []wire.ID{40}},
		{name: "removed", answers: map[wire.ID]wire.Found{20: has(gone), 30: has(gone), 40: has(gone)}, outcome: NotFound},
		{name: "removed, but one has not heard", answers: map[wire.ID]wire.Found{20: has(gone), 30: has(file3), 40: has(file3)}, outcome: NotFound},
		{name: "two writers, after a cut", answers: map[wire.ID]wire.Found{20: has(file3, also), 30: has(file3)},
			version: 9, sources: []wire.ID{20}, alsoBy: []wire.ID{30}},
		{name: "a manifest of another name", answers: map[wire.ID]wire.Found{20: has(other), 30: no, 40: no}, outcome: NotFound},
		{name: "one answers", answers: map[wire.ID]wire.Found{20: has(file3)}, version: 3, sources: []wire.ID{20}, one: true},
		{name: "one says no, two nothing", answers: map[wire.ID]wire.Found{20: no}, outcome: Unavailable, silent: []wire.ID{30, 40}},
		{name: "nobody answers", outcome: Unavailable, silent: []wire.ID{20, 30, 40}},
	} {
		w := within(t, 20, 30, 40)
		acts := w.step(Get{Op: 1, Name: "0015"})
		who := asked(acts)
		var out []Action
		for _, id := range []wire.ID{20, 30, 40} {
			if f, ok := c.answers[id]; ok {
				f.Req = who[id]
				out = append(out, w.step(Received{id, f})...)
			}
		}
		for range 16 { // time for whoever does not answer, and a no of whoever is asked instead
			for id, req := range asked(out) {
				if id == 10 {
					out = append(out, w.step(Received{10, wire.Found{Req: req}})...)
				}
			}
			for _, id := range []wire.ID{20, 30, 40} {
				w.step(Pinged{id, wire.Ping{Ack: true, Mine: 1}})
			}
			out = append(out, w.pass(500*time.Millisecond)...)
		}
		if c.version == 0 {
			got := first[Done](t, out).Result
			if got.Outcome != c.outcome || !slices.Equal(got.Silent, c.silent) {
				t.Errorf("%s: outcome %v, silent %v, want %v, %v", c.name, got.Outcome, got.Silent, c.outcome, c.silent)
			}
			continue
		}
		f := first[Fetch](t, out)
		if f.Manifest.Version != c.version || !slices.Equal(f.Sources, c.sources) || f.OneAnswer != c.one || !slices.Equal(f.AlsoBy, c.alsoBy) {
			t.Errorf("%s: version %d from %v, one answer %v, also by %v, want %d from %v, %v, %v", c.name,
				f.Manifest.Version, f.Sources, f.OneAnswer, f.AlsoBy, c.version, c.sources, c.one, c.alsoBy)
		}
	}
}

// TestClaimOfTheSameWriterHidesNoOlder: a version that one member alone shows
// comes with the newest that others show of its writer, whoever answers first;
// one that two show, and a tombstone, come alone.
func TestClaimOfTheSameWriterHidesNoOlder(t *testing.T) {
	version := func(n uint64) wire.Manifest {
		m := file3
		m.Version = n
		return m
	}
	gone := version(9)
	gone.Flags, gone.Size = wire.Tombstone, 0
	also := wire.Manifest{Name: "0015", Version: 5, Writer: 40, Signer: 40}
	type shown map[wire.ID][]wire.Manifest
	for what, c := range map[string]struct {
		shows shown
		want  []uint64 // versions, in their order
	}{
		"one alone":            {shown{20: {file3}, 30: {version(9)}, 40: {file3}}, []uint64{9, 3}},
		"one alone, the first": {shown{20: {version(9)}, 30: {file3}, 40: {file3}}, []uint64{9, 3}},
		"one after another":    {shown{20: {version(9)}, 30: {version(8)}, 40: {file3}}, []uint64{9, 8, 3}},
		"two":                  {shown{20: {version(9)}, 30: {file3}, 40: {version(9)}}, []uint64{9}},
		"two, the last":        {shown{20: {file3}, 30: {version(9)}, 40: {version(9)}}, []uint64{9}},
		"another writer":       {shown{20: {version(9)}, 30: {file3, also}, 40: {file3, also}}, []uint64{9, 5, 3}},
		"a tombstone below":    {shown{20: {version(10)}, 30: {gone}, 40: {gone, file3}}, []uint64{10}},
		"no other":             {shown{20: {version(9)}, 30: {}, 40: {}}, []uint64{9}},
	} {
		w := within(t, 20, 30, 40)
		acts := w.step(Get{Op: 1, Name: "0015"})
		var out []Action
		for _, id := range []wire.ID{20, 30, 40} {
			out = append(out, w.step(Received{id, wire.Found{Req: asked(acts)[id], Home: true, Manifests: c.shows[id]}})...)
		}
		f := first[Fetch](t, out)
		got := []uint64{f.Manifest.Version}
		for _, o := range f.Others {
			got = append(got, o.Manifest.Version)
		}
		if !slices.Equal(got, c.want) || what != "another writer" && len(f.AlsoBy) > 0 {
			t.Errorf("%s: versions %d, also by %d, want %d", what, got, f.AlsoBy, c.want)
		}
	}
}

// TestOneAnswerIsWaitedOutAndSaid: a second answer is waited for 500 ms, and
// no longer.
func TestOneAnswerIsWaitedOutAndSaid(t *testing.T) {
	w := within(t, 20, 30, 40)
	who := asked(w.step(Get{Op: 1, Name: "0015"}))
	w.step(Received{20, wire.Found{Req: who[20], Home: true, Manifests: []wire.Manifest{file3}}})
	began := w.now
	for range 100 {
		for _, a := range w.pass(10 * time.Millisecond) {
			if f, ok := a.(Fetch); ok {
				if waited := time.Duration(w.now - began); !f.OneAnswer || waited < 490*time.Millisecond || waited > 520*time.Millisecond {
					t.Errorf("one answer %v after %v, want true after 500 ms", f.OneAnswer, waited)
				}
				return
			}
		}
	}
	t.Error("waited for a second answer for ever")
}

// TestByWriter: the version of the writer asked for, not the highest.
func TestByWriter(t *testing.T) {
	w := within(t, 20, 30, 40)
	also := wire.Manifest{Name: "0015", Version: 9, Writer: 40, Signer: 40}
	acts := w.answerLooks(w.step(Get{Op: 1, Name: "0015", By: 30, HasBy: true}),
		map[wire.ID][]wire.Manifest{20: {also, file3}, 30: {also, file3}})
	if f := first[Fetch](t, acts); f.Manifest != file3 {
		t.Errorf("fetches version %d by %v, want 3 by 30", f.Manifest.Version, f.Manifest.Writer)
	}
}

// TestNotReady: a peer that is not in the ring says so at once.
func TestNotReady(t *testing.T) {
	w := &world{Ring: New(config(10, 10, 20))}
	for _, e := range []Event{Get{Op: 1}, Put{Op: 1}, Remove{Op: 1}, Stat{Op: 1}, Lookup{Op: 1}, Leave{Op: 1}} {
		if got := first[Done](t, w.step(e)).Result.Outcome; got != NotReady {
			t.Errorf("%T: outcome %v, want %v", e, got, NotReady)
		}
	}
}

// TestProbe: an ack of the very ping answers it; none is said after three
// seconds.
func TestProbe(t *testing.T) {
	w := within(t, 20, 30)
	ping := first[SendPing](t, w.step(Probe{Op: 1, Peer: 20}))
	w.now += Time(7 * time.Millisecond)
	if d := first[Done](t, w.step(Pinged{20, wire.Ping{Ack: true, Echo: ping.Ping.Echo}})).Result; d.Outcome != Succeeded || d.RTT != 7*time.Millisecond {
		t.Errorf("%+v, want 7 ms", d)
	}
	w.step(Probe{Op: 2, Peer: 20})
	w.step(Pinged{20, wire.Ping{Ack: true, Echo: 12345}})
	if d := first[Done](t, w.pass(4*time.Second)).Result; d.Outcome != Unreached {
		t.Errorf("%+v, want unreached", d)
	}
}

// TestProbesCount: of operations of the user there are so many and no more,
// probes among them.
func TestProbesCount(t *testing.T) {
	w := within(t, 20, 30)
	for i := range maxOps {
		w.step(Probe{Op: Op(i + 1), Peer: 20})
	}
	for _, e := range []Event{Probe{Op: maxOps + 1, Peer: 20}, Lookup{Op: maxOps + 2, Name: "0015"}} {
		if got := first[Done](t, w.step(e)).Result.Outcome; got != NotReady {
			t.Errorf("%T: outcome %v, want %v", e, got, NotReady)
		}
	}
}
