package sim

import (
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// A crash in the middle of a write leaves the version whole or absent: absent
// while it has no name; after the rename a kill leaves it, and a power cut
// keeps it or not; after the sync of the folder, when it is acked, it stays.
func TestCrashLeavesWholeOrAbsent(t *testing.T) {
	type left struct{ early, killed, cut, acked [2]int } // absent, there
	var n left
	for seed := range uint64(200) {
		w := New(plain(seed))
		w.Start(4)
		w.Run(5 * time.Second)
		p := w.byID[4].process
		m := wire.Manifest{Name: "x", Version: 1, Writer: 4, Signer: 4, Blocks: content{seed, 1}.blocks()}
		acked := false
		p.store(m, m.Blocks, func(code wire.Code) { acked = code == wire.CodeOK })
		renamed := p.host.disk.writes[0].renamed
		var into *[2]int
		switch seed % 4 {
		case 0:
			w.now = renamed - 1
			w.Crash(4)
			into = &n.early
		case 1:
			w.now = renamed
			w.Kill(4)
			into = &n.killed
		case 2:
			w.now = renamed
			w.Crash(4)
			into = &n.cut
		default:
			w.RunUntil(time.Second, func() bool { return acked })
			w.Crash(4)
			into = &n.acked
		}
		if h := w.Host(4); h.Holds(w.version(m)) {
			into[1]++
		} else {
			into[0]++
		}
	}
	if n.early[1] != 0 || n.killed[0] != 0 || n.acked[0] != 0 || n.cut[0] == 0 || n.cut[1] == 0 {
		t.Errorf("absent and there: before the rename %v, killed after it %v, without power after it %v, acked %v",
			n.early, n.killed, n.cut, n.acked)
	}
}

// A version that a kill left without a synced folder may still be lost with
// the power of a later run, unless that run has settled the disk.
func TestUnsyncedNameIsLostLater(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		w := New(plain(seed))
		d := &w.byID[4].disk
		v := ring.Version{Key: 1}
		d.files[v] = file{durable: false}
		d.crash(w, false)
		if _, ok := d.files[v]; !ok {
			t.Fatal("a kill loses what the kernel has")
		}
		d.crash(w, true)
		if f, ok := d.files[v]; !ok {
			lost++
		} else if !f.durable {
			t.Fatal("what a power cut leaves is on the disk")
		}
	}
	if lost == 0 || lost == 50 {
		t.Errorf("lost %v times of 50", lost)
	}
}

// A failed sync is never acked and never tried again: the disk is stuck, says
// so, and serves what it has; a start does not forget it, the machine's does.
func TestFailedSyncIsStuck(t *testing.T) {
	w := world(t, plain(3))
	putAll(t, w, "0010") // on 14, 19 and 2
	w.Host(14).disk.fails = true
	put := w.Put(14, "0013", 1, 1000) // on 14, 19 and 2
	w.RunUntil(time.Minute, func() bool { return put.Ended })
	for _, id := range put.Result.Copies {
		if id == 14 || !w.Host(id).keeps(w.version(put.Result.Manifest)) {
			t.Errorf("copies %v: that on %v is not on its disk", put.Result.Copies, id)
		}
	}
	w.Run(3 * time.Second)
	if s := w.Host(14).Status(); s.State != wire.Stuck {
		t.Errorf("state %v, want stuck", s.State)
	}
	w.Host(14).disk.fails = false
	w.Run(3 * time.Second)
	if s := w.Host(14).Status(); s.State != wire.Stuck {
		t.Errorf("state %v after the disk is well again, want stuck until a start", s.State)
	}
	w.Kill(14)
	w.Start(14)
	w.Run(10 * time.Second)
	if s := w.Host(14).disk.state; s != wire.Stuck {
		t.Errorf("disk %v in the next run, want stuck until the machine is started again", s)
	}
	w.mend(w.Host(14))
	whole(t, w, 20*time.Second)
	settled(t, w)
}
