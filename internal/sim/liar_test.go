package sim

import (
	"slices"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// allLies are the behaviours of a liar, each by itself, then all that go
// together.
var allLies = map[string]Lies{
	"denies":   {Denies: true},
	"corrupts": {Corrupts: true},
	"forgets":  {Forgets: true},
	"detours":  {Detours: true, Next: 9},
	"claims":   {Claims: true},
	"accuses":  {Accuses: true},
	"usurps":   {Usurps: true},
	"replays":  {Replays: true},
	"floods":   {Floods: true},
	"garbles":  {Garbles: true},
	"all":      {Denies: true, Corrupts: true, Forgets: true, Claims: true, Accuses: true, Usurps: true, Replays: true, Floods: true, Garbles: true},
}

// A liar harms nobody but itself: whatever one of seven does for a minute, and
// however others come and go meanwhile, nobody else is judged, everything that
// was acked is readable all the time, and what must hold holds.
func TestLiarHarmsNobodyButItself(t *testing.T) {
	for name, lies := range allLies {
		t.Run(name, func(t *testing.T) {
			w := world(t, plain(1, append(slices.Clone(classic), 11)...), classic...)
			w.watch()
			putAll(t, w, someNames...)
			w.SetLies(14, lies)
			for i := range 12 {
				switch i {
				case 3:
					w.Start(11, 14) // through the liar
				case 6:
					w.Crash(2)
				case 8:
					w.Start(2)
				}
				w.Run(5 * time.Second)
				w.Check()
				for _, name := range someNames {
					if get := w.Get(5, name); !w.Await(ring.Succeeded, get) {
						t.Fatalf("at %v get %q ended %v with %v", span(w.Now()), name, get.Ended, get.Result.Outcome)
					}
				}
			}
			for _, h := range w.members() {
				for _, m := range h.Status().Members {
					if m.ID != 14 && m.Unreachable {
						t.Errorf("%v holds %v unreachable", h.ID, m.ID)
					}
				}
			}
			if err := w.Whole(); err != nil {
				t.Error(err)
			}
			if lies.loud() && w.Count.Lied == 0 {
				t.Error("the liar said nothing")
			}
		})
	}
}

// What a liar repeats of the past changes nothing: rows of members that have
// come back under higher incarnations, and votes on them that were true.
func TestReplayedPastChangesNothing(t *testing.T) {
	w := world(t, plain(2))
	w.SetLies(14, Lies{Replays: true})
	w.Crash(8)
	w.Run(10 * time.Second)
	w.Start(8)
	whole(t, w, 10*w.Config.Interval)
	w.Run(time.Minute)
	if w.Count.Replayed < 20 {
		t.Errorf("only %v replays", w.Count.Replayed)
	}
	whole(t, w, w.Config.Interval)
	for _, h := range w.members() {
		if i := slices.IndexFunc(h.Status().Members, func(m ring.MemberStatus) bool { return m.ID == 8 }); h.Status().Members[i].State != wire.Active {
			t.Errorf("%v holds 8 to be in state %v", h.ID, h.Status().Members[i].State)
		}
	}
}
