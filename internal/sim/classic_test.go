package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"securepeer/ring"
	"securepeer/wire"
)

// kindNames are the kinds of the classic ring, as the transcripts write them.
var kindNames = map[ring.Kind]string{
	ring.PingsSent:          "PingsSent",
	ring.PingReceived:       "PingReceived",
	ring.PingAnswered:       "PingAnswered",
	ring.JoinForwarded:      "JoinForwarded",
	ring.JoinReceived:       "JoinReceived",
	ring.JoinAccepted:       "JoinAccepted",
	ring.FirstSuccessor:     "FirstSuccessor",
	ring.SecondSuccessor:    "SecondSuccessor",
	ring.SuccessorChange:    "SuccessorChange",
	ring.NewFirstSuccessor:  "NewFirstSuccessor",
	ring.NewSecondSuccessor: "NewSecondSuccessor",
	ring.Departing:          "Departing",
	ring.NotAlive:           "NotAlive",
	ring.StoreForwarded:     "StoreForwarded",
	ring.StoreAccepted:      "StoreAccepted",
	ring.RequestSent:        "RequestSent",
	ring.NotStoredHere:      "NotStoredHere",
	ring.StoredHere:         "StoredHere",
	ring.SendingFile:        "SendingFile",
	ring.FileSent:           "FileSent",
	ring.HadFile:            "HadFile",
	ring.ReceivingFile:      "ReceivingFile",
	ring.FileReceived:       "FileReceived",
}

// pings says whether a kind comes every interval.
func ofPings(k ring.Kind) bool {
	return k == ring.PingsSent || k == ring.PingReceived || k == ring.PingAnswered
}

// transcript writes the notices since an instant, peer by peer, each peer's
// in their order: `[14] JoinReceived 15`.
func transcript(w *World, since ring.Time, want func(ring.Kind) bool) string {
	var b strings.Builder
	for _, h := range w.Hosts() {
		for _, n := range h.Notices {
			name, ok := kindNames[n.Kind]
			if n.At < since || !ok || !want(n.Kind) {
				continue
			}
			fmt.Fprintf(&b, "[%v] %s", h.ID, name)
			switch {
			case n.Kind == ring.PingsSent:
				for _, id := range n.Peers {
					fmt.Fprintf(&b, " %v", id)
				}
			case n.Name != "" && of(n.Kind, ring.StoreForwarded, ring.StoreAccepted, ring.RequestSent,
				ring.NotStoredHere, ring.StoredHere, ring.FileReceived):
				fmt.Fprintf(&b, " %s", n.Name)
			case n.Name != "" && of(n.Kind, ring.SendingFile, ring.HadFile, ring.ReceivingFile):
				fmt.Fprintf(&b, " %s %v", n.Name, n.Peer)
			case !of(n.Kind, ring.JoinAccepted, ring.SuccessorChange, ring.FileSent):
				fmt.Fprintf(&b, " %v", n.Peer)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func of(k ring.Kind, kinds ...ring.Kind) bool { return slices.Contains(kinds, k) }

func notPings(k ring.Kind) bool { return !ofPings(k) }

// golden compares a transcript with the one in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// classicRing starts the seven peers and waits until all have pinged.
func classicRing(t *testing.T, seed uint64) *World {
	c := Classic(seed)
	w := world(t, c, classic...)
	w.Run(2 * c.Interval)
	return w
}

// TestClassicStep1 starts the seven: each peer's first two successors, as the
// list of launched nodes shows them.
func TestClassicStep1(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		var b strings.Builder
		for _, h := range w.running() {
			s := h.Status().Successors
			fmt.Fprintf(&b, "Peer[%v]->%v->%v\n", h.ID, s[0], s[1])
		}
		golden(t, "step1", b.String())
	}
}

// TestClassicStep2 watches the pings of one interval: every peer pings its two
// successors, once.
func TestClassicStep2(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		w.Run(1700 * time.Millisecond)
		since := w.Now()
		w.Run(w.Config.Interval)
		lines := strings.Split(strings.TrimSuffix(transcript(w, since, ofPings), "\n"), "\n")
		slices.Sort(lines) // when whose ping falls into the interval is chance
		golden(t, "step2", strings.Join(lines, "\n")+"\n")
	}
}

// TestClassicStep3 has 15 join through 4.
func TestClassicStep3(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		since := w.Now()
		w.Start(15, 4)
		whole(t, w, 3*w.Config.Interval)
		w.Run(3 * w.Config.Interval)
		golden(t, "step3", transcript(w, since, notPings))
	}
}

// TestClassicStep4 has 9 quit.
func TestClassicStep4(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		since := w.Now()
		await(t, w, ring.Succeeded, w.Leave(9))
		whole(t, w, 3*w.Config.Interval)
		w.Run(3 * w.Config.Interval)
		golden(t, "step4", transcript(w, since, notPings))
		golden(t, "step4pings", lastPings(w))
	}
}

// lastPings says whom every peer pinged last.
func lastPings(w *World) string {
	var b strings.Builder
	for _, h := range w.running() {
		for _, n := range slices.Backward(h.Notices) {
			if n.Kind == ring.PingsSent {
				fmt.Fprintf(&b, "[%v] PingsSent %v\n", h.ID, n.Peers)
				break
			}
		}
	}
	return b.String()
}

// TestClassicStep5 kills 14: in one half of the runs its kernel closes the
// links, in the other nobody is told.
func TestClassicStep5(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		since := w.Now()
		if seed%2 == 0 {
			w.Kill(14)
		} else {
			w.Crash(14)
		}
		whole(t, w, 4*w.Config.Interval)
		w.Run(15 * w.Config.Interval)
		golden(t, "step5", transcript(w, since, notPings))
	}
}

// TestClassicStep6 stores 2067 at 8.
func TestClassicStep6(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		since := w.Now()
		await(t, w, ring.Succeeded, w.Put(8, "2067", seed, 5000))
		w.Run(3 * w.Config.Interval)
		golden(t, "step6", transcript(w, since, notPings))
	}
}

// TestClassicStep7 requests 4103 at 2. It has the size 0 once: the file is
// received all the same.
func TestClassicStep7(t *testing.T) {
	for seed := range uint64(20) {
		w := classicRing(t, seed)
		put := w.Put(8, "4103", 7, int64(seed)*777)
		await(t, w, ring.Succeeded, put)
		w.Run(w.Config.Interval)
		since := w.Now()
		get := w.Get(2, "4103")
		await(t, w, ring.Succeeded, get)
		w.Run(3 * w.Config.Interval)
		golden(t, "step7", transcript(w, since, notPings))
		if get.Manifest != put.Manifest || get.Source != wire.ID(8) {
			t.Errorf("got version %v from %v, want %v from its owner 8", get.Manifest.Version, get.Source, put.Manifest.Version)
		}
	}
}

// TestClassicOwnerSendsEvenToHolders has a peer that holds a copy request it:
// the bytes come from the owner all the same, and all lines are there.
func TestClassicOwnerSendsEvenToHolders(t *testing.T) {
	w := classicRing(t, 1)
	await(t, w, ring.Succeeded, w.Put(2, "4103", 1, 1000)) // on 8, 9 and 14
	since := w.Now()
	get := w.Get(14, "4103")
	await(t, w, ring.Succeeded, get)
	w.Run(w.Config.Interval)
	if get.Source != 8 {
		t.Errorf("14 got it from %v, want the owner 8", get.Source)
	}
	lines := transcript(w, since, notPings)
	for _, line := range []string{"[8] SendingFile 4103 14", "[8] FileSent", "[14] HadFile 4103 8", "[14] FileReceived 4103"} {
		if !strings.Contains(lines, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, lines)
		}
	}
}

// TestClassicPingsAreToldOnce loses a fifth of all datagrams: whatever is asked
// again, each interval gives one line of a ping and one of its answer, at most.
func TestClassicPingsAreToldOnce(t *testing.T) {
	c := Classic(3)
	c.Net.Loss = 0.2
	w := world(t, c, classic...)
	w.Run(5 * time.Minute)
	answered := 0
	for _, h := range w.running() {
		last := make(map[wire.ID]ring.Time)
		open := make(map[wire.ID]int)
		for _, n := range h.Notices {
			switch n.Kind {
			case ring.PingReceived:
				if at, ok := last[n.Peer]; ok && span(n.At-at) < c.Interval/2 {
					t.Errorf("%v tells of two pings of %v within %v", h.ID, n.Peer, span(n.At-at))
				}
				last[n.Peer] = n.At
			case ring.PingsSent:
				for _, id := range n.Peers {
					open[id] = 1
				}
			case ring.PingAnswered:
				answered++
				if open[n.Peer]--; open[n.Peer] < 0 {
					t.Errorf("%v tells of two answers of %v to one ping", h.ID, n.Peer)
				}
			}
		}
	}
	if answered < 7*2*100*9/10 {
		t.Errorf("only %v answers were told of", answered)
	}
}
