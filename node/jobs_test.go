package node

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/ring"
	"securepeer/wire"
)

// posted takes what waits for a loop that does not run.
func posted(n *Node) (all []input) {
	synctest.Wait()
	for {
		select {
		case in := <-n.inputs:
			all = append(all, in)
		default:
			return all
		}
	}
}

func tombstone(b *bubble, i int, name string, version uint64) wire.Manifest {
	return claim(b.secrets[i], wire.Manifest{Name: name, Version: version, Writer: wire.ID(i), Signer: wire.ID(i), Flags: wire.Tombstone})
}

// TestJobs is what a worker makes of each, on a disk that works and on one
// that does not.
func TestJobs(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		t := b.t
		fsys := &brokenFS{FS: b.disks[1].Mount()}
		n := b.loner(1, roomFS{fsys, b.room[1], &b.broken})
		defer n.Close()
		m := tombstone(b, 2, "f", 3)
		v := versionOf(b.roster.Space, m)
		at := ring.Version{Key: wire.Pos(v.Key), Sum: v.Sum}
		want := func(what string, want ...input) {
			t.Helper()
			if got := posted(n); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		event := func(ev ring.Event) input { return happened{event: ev} }

		for _, isNew := range []bool{true, false} {
			n.startPull(ring.Pull{Manifest: m, From: 2})
			want("a pull", event(ring.Pulled{Version: at, Code: wire.CodeOK, New: isNew}))
		}
		n.do(job{action: ring.Answer{To: 1, Req: 7, Name: "f", Code: wire.CodeBehind, Home: true}})
		want("an own look", event(ring.Received{From: 1, Msg: wire.Found{Req: 7, Code: wire.CodeBehind, Home: true, Manifests: []wire.Manifest{m}}}))
		n.do(job{action: ring.Answer{To: 2, Req: 7, Name: "g"}})
		want("another's look", sending{2, wire.Found{Req: 7}})
		n.do(job{action: ring.SendOffer{To: 2, Req: 7, Version: at}})
		want("an offer", sending{2, wire.Offer{Req: 7, Source: 1, Manifest: m}})
		if !n.offered.has(2, m.Sum()) || n.offered.has(0, m.Sum()) {
			t.Error("what was offered to whom is not known")
		}
		n.do(job{action: ring.SendOffer{To: 2, Req: 8, Version: ring.Version{Key: at.Key}}})
		want("an offer of what is not here", event(ring.OfferFailed{Peer: 2, Req: 8, Missing: true}))
		n.do(job{list: &wire.List{Req: 9}, from: 2})
		want("a list", sending{2, wire.Listed{Req: 9, Manifests: []wire.Manifest{m}}})
		n.do(job{action: ring.Scan{Scan: 4, First: true, Limit: 5}})
		want("a scan", event(ring.Scanned{Scan: 4, Versions: []ring.Version{at}}))

		b.broken.Store(ptr[error](syscall.EIO))
		defer b.broken.Store(nil)
		n.do(job{action: ring.Answer{To: 2, Req: 7, Name: "f"}})
		want("a look on a broken disk", sending{2, wire.Found{Req: 7, Code: wire.CodeUnreadable}})
		n.do(job{action: ring.SendOffer{To: 2, Req: 7, Version: at}})
		want("an offer from a broken disk", event(ring.OfferFailed{Peer: 2, Req: 7}))
		n.do(job{list: &wire.List{Req: 9}, from: 2})
		want("a list of a broken disk", sending{2, wire.Listed{Req: 9, Code: wire.CodeUnreadable}})
		fsys.broken.Store(true)
		n.do(job{action: ring.Scan{Scan: 5, First: true, Limit: 5}})
		want("a scan of a broken disk", event(ring.Scanned{Scan: 5, Failed: true}))
	})
}

func ptr[T any](v T) *T { return &v }

// TestEveryJobIsDone: however many come while the workers sleep.
func TestEveryJobIsDone(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		n := b.loner(1, b.disks[1].Mount())
		const jobs = 5 * jobWorkers
		for i := range uint32(jobs) {
			n.jobs.add(job{action: ring.Answer{To: 2, Req: i, Name: "f"}})
		}
		n.work.Go(n.workJobs)
		if got := len(posted(n)); got != jobs {
			b.t.Errorf("%d of %d jobs are done", got, jobs)
		}
		n.Close()
	})
}

// TestCatchingUpIsNotSilence: a peer that is behind, cannot read its disk, or
// declines otherwise is not told as one that gives no answer, nor as one another.
// Once n1 said "no answer from n1" of itself.
func TestCatchingUpIsNotSilence(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		r := ring.Result{Outcome: ring.Unavailable, Silent: []wire.ID{0, 1, 2}, Declined: []ring.Declined{{Peer: 0, Code: wire.CodeBehind}, {Peer: 2, Code: wire.CodeBehind}}}
		if got, want := n.failure("f", r).Error(), `"f" is not available: no answer from n1; still catching up: n0, n2`; got != want {
			b.t.Errorf("%s, want %s", got, want)
		}
		n.unread.Store(ptr[error](syscall.EMFILE))
		r.Declined = []ring.Declined{{Peer: 0, Code: wire.CodeUnreadable}, {Peer: 2, Code: wire.CodeUnreadable}}
		if got, want := n.failure("f", r).Error(), `"f" is not available: no answer from n1; n2 cannot read its disk; this peer cannot use its own disk: this process has no file descriptor left: too many open files`; got != want {
			b.t.Errorf("%s, want %s", got, want)
		}
		n.unread.Store(nil)
	})
	inBubble(t, 1, 1, "copies=1", func(b *bubble) {
		n := b.nodes[0]
		put(b.t, n, "f", []byte("abc"))
		b.broken.Store(ptr[error](syscall.EMFILE))
		_, err := n.Get(b.t.Context(), "f", GetOptions{})
		var e *UnavailableError
		if !errors.As(err, &e) || len(e.Lacks) > 0 || !errors.Is(e.Own, syscall.EMFILE) {
			b.t.Errorf("a get without descriptors: %v", err)
		}
		b.broken.Store(nil)
	})
}

// TestOfferedIsBounded: and what was offered last is known.
func TestOfferedIsBounded(t *testing.T) {
	o := &offers{known: make(map[offerKey]struct{})}
	for i := range 3 * maxOffered {
		o.add(wire.ID(i), wire.Sum{1})
		if len(o.known) > maxOffered || !o.has(wire.ID(i), wire.Sum{1}) {
			t.Fatalf("after %d: %d are known", i, len(o.known))
		}
	}
}

// TestStateIsWrittenOnce: the last view, and every incarnation.
func TestStateIsWrittenOnce(t *testing.T) {
	s := &state{wake: make(chan struct{}, 1)}
	for i := range wire.Incarnation(3) {
		s.add(func(s *state) {
			s.persist = append(s.persist, i)
			s.view, s.hasView = []wire.Row{{Incarnation: i}}, true
		})
	}
	w := s.take()
	if len(w.persist) != 3 || !w.hasView || len(w.view) != 1 || w.view[0].Incarnation != 2 || len(s.wake) != 1 {
		t.Errorf("to be written are %+v", w)
	}
	if w := s.take(); len(w.persist)+len(w.view) > 0 || w.hasView {
		t.Errorf("again: %+v", w)
	}
}

// failingFS fails to create or sync files, with an error of its own.
type failingFS struct {
	store.FS
	create, sync error
}

type failingFile struct {
	store.File
	sync *error
}

func (f *failingFS) Create(name string) (store.File, error) {
	if f.create != nil {
		return nil, f.create
	}
	file, err := f.FS.Create(name)
	return failingFile{file, &f.sync}, err
}

func (f failingFile) Sync() error {
	if *f.sync != nil {
		return *f.sync
	}
	return f.File.Sync()
}

// TestIncarnationOfADiskThatFails: one that is full, stuck or broken keeps a peer
// from saying so in no case; any other error means that the incarnation must not
// be spoken.
func TestIncarnationOfADiskThatFails(t *testing.T) {
	for _, c := range []struct {
		what         string
		create, sync error
		spoken       bool
		health       wire.State
	}{
		{"full", syscall.ENOSPC, nil, true, wire.Full},
		{"stuck", nil, syscall.EIO, true, wire.Stuck},
		{"broken", syscall.EIO, nil, true, wire.Stuck},
		{"out of descriptors", syscall.EMFILE, nil, false, wire.Active},
	} {
		fsys := &failingFS{FS: simdisk.New(1).Mount()}
		d := diskOn(t, fsys)
		if err := d.persist(5); err != nil {
			t.Fatal(err)
		}
		if err := d.persist(3); err != nil || d.persisted() != 5 {
			t.Errorf("an earlier one is asked for: %v, and %d may be spoken", err, d.persisted())
		}
		fsys.create, fsys.sync = c.create, c.sync
		err := d.persist(1000)
		if spoken := d.persisted() == 1000; (err == nil) != c.spoken || spoken != c.spoken || d.health() != c.health {
			t.Errorf("%s: %v, spoken %v, and the disk is %v", c.what, err, spoken, d.health())
		}
	}
}

// TestViewThatIsNotSavedIsNewsOfTheDisk: as any write.
func TestViewThatIsNotSavedIsNewsOfTheDisk(t *testing.T) {
	fsys := &failingFS{FS: simdisk.New(1).Mount()}
	d := diskOn(t, fsys)
	fsys.create = syscall.ENOSPC
	d.saveView([]wire.Row{{ID: 1}})
	if len(d.changed) != 1 || d.health() != wire.Full {
		t.Errorf("the disk is %v, and %d are told", d.health(), len(d.changed))
	}
	fsys.create, fsys.sync = nil, syscall.EIO
	if err := d.WriteState("x", nil); !errors.Is(err, store.ErrStuck) {
		t.Fatal(err)
	}
	if d.measure(); d.health() != wire.Stuck {
		t.Errorf("a stuck disk is measured as %v", d.health())
	}
}

// TestRoom is what is said of an announced size.
func TestRoom(t *testing.T) {
	d := diskOf(t, simdisk.New(1))
	usage, err := d.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]wire.Code{0: wire.CodeOK, min(usage.Free, store.MaxSize): wire.CodeOK, store.MaxSize + 1: wire.CodeInvalid} {
		if got := d.room(size); got != want {
			t.Errorf("%d bytes: code %d, want %d", size, got, want)
		}
	}
}

// TestLookIsBounded: sixteen writers of one name fit into an answer.
func TestLookIsBounded(t *testing.T) {
	d := diskOf(t, simdisk.New(1))
	for writer := range wire.ID(wire.MaxManifests + 3) {
		d.keep(t, wire.Manifest{Name: "f", Version: uint64(writer) + 1, Writer: writer, Signer: writer, Flags: wire.Tombstone})
	}
	ms, _, err := d.look(wire.Space8, "f")
	if err != nil || len(ms) != wire.MaxManifests || !slices.IsSortedFunc(ms, newestFirst) || ms[0].Version != wire.MaxManifests+3 {
		t.Errorf("%d manifests, %v; want the newest %d", len(ms), err, wire.MaxManifests)
	}
	wire.Found{Manifests: ms}.Append(nil) // panics beyond the limit
}

// TestListedGivesWholeNames: as many as fit, then the next; what is damaged is
// left out, what cannot be read is an error.
func TestListedGivesWholeNames(t *testing.T) {
	sim := simdisk.New(1)
	d := diskOn(t, sim.Mount())
	if m, _, err := d.listed("", ""); len(m.Manifests) > 0 || m.More || err != nil { // builds the index
		t.Fatal(m, err)
	}
	const names, writers = 40, 5
	for i := range names {
		for writer := range wire.ID(writers) {
			d.keep(t, wire.Manifest{Name: fmt.Sprintf("f%02d", i), Version: 1, Writer: writer, Signer: writer, Flags: wire.Tombstone})
		}
	}
	seen := make(map[string]int)
	after, pages := "", 0
	for more := true; more; pages++ {
		m, _, err := d.listed("f", after)
		ms := m.Manifests
		if more = m.More; err != nil || len(ms) == 0 || len(ms) > wire.MaxListed {
			t.Fatalf("a page of %d, more %v, %v", len(ms), more, err)
		}
		for _, m := range ms {
			if seen[m.Name]++; m.Name <= after && after != "" {
				t.Errorf("%q again", m.Name)
			}
		}
		after = ms[len(ms)-1].Name
	}
	for name, count := range seen {
		if count != writers {
			t.Errorf("%q has %d manifests, want %d", name, count, writers)
		}
	}
	if want := (names*writers + wire.MaxListed/writers*writers - 1) / (wire.MaxListed / writers * writers); len(seen) != names || pages != want {
		t.Errorf("%d names on %d pages, want %d on %d", len(seen), pages, names, want)
	}
	failed, err := d.Create(5)
	if err != nil {
		t.Fatal(err)
	}
	if code := d.commit(failed, wire.Space8, wire.Manifest{Name: "zz"}); code == wire.CodeOK {
		t.Fatal("a commit of nothing")
	}
	if names, _ := d.index.after("zz", "", 1); len(names) > 0 {
		t.Errorf("what was not committed is listed: %v", names)
	}
}

// TestRequestsOfEachRunAreApart: those of the ring and of listings, of two runs on
// one disk, so that no answer to one is taken for an answer to the other.
func TestRequestsOfEachRunAreApart(t *testing.T) {
	inBubble(t, 1, 0, "copies=1", func(b *bubble) {
		disk := b.disks[0].Mount()
		first := func() (list, look uint32) {
			n := b.loner(0, disk)
			defer n.Close()
			k, _ := n.lists.open(0)
			l, err := n.newLoop()
			if err != nil {
				b.t.Fatal(err)
			}
			events := []ring.Event{ring.Tick{}}
			for now := ring.Time(0); now < ring.Time(time.Minute); now += ring.Time(time.Second) {
				for ; len(events) > 0; events = events[1:] {
					for _, a := range l.ring.Step(now, events[0], nil) {
						switch a := a.(type) {
						case ring.Persist:
							events = append(events, ring.Persisted(a))
						case ring.Answer:
							return k.req, a.Req
						}
					}
				}
				events = append(events, ring.Tick{}, ring.Get{Op: ring.Op(now + 1), Name: "f"})
			}
			b.t.Fatal("it looks nothing up")
			return 0, 0
		}
		list1, look1 := first()
		list2, look2 := first()
		if list1 == list2 || look1 == look2 {
			b.t.Errorf("a run begins with the requests %v and %v, the next with %v and %v", list1, look1, list2, look2)
		}
	})
}
