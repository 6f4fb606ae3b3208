package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
)

// steps is the transcript of the classic ring, each peer's lines in order; of
// step 2 the order is chance.
const steps = `
1 Launching nodes:
1 Peer[2]->4->5
1 Peer[4]->5->8
1 Peer[5]->8->9
1 Peer[8]->9->14
1 Peer[9]->14->19
1 Peer[14]->19->2
1 Peer[19]->2->4
2 [2] > Ping requests sent to Peers 4 and 5
2 [2] > Ping request message received from Peer 14
2 [2] > Ping request message received from Peer 19
2 [2] > Ping response received from Peer 4
2 [2] > Ping response received from Peer 5
2 [4] > Ping requests sent to Peers 5 and 8
2 [4] > Ping request message received from Peer 19
2 [4] > Ping request message received from Peer 2
2 [4] > Ping response received from Peer 5
2 [4] > Ping response received from Peer 8
2 [5] > Ping requests sent to Peers 8 and 9
2 [5] > Ping request message received from Peer 2
2 [5] > Ping request message received from Peer 4
2 [5] > Ping response received from Peer 8
2 [5] > Ping response received from Peer 9
2 [8] > Ping requests sent to Peers 9 and 14
2 [8] > Ping request message received from Peer 4
2 [8] > Ping request message received from Peer 5
2 [8] > Ping response received from Peer 9
2 [8] > Ping response received from Peer 14
2 [9] > Ping requests sent to Peers 14 and 19
2 [9] > Ping request message received from Peer 5
2 [9] > Ping request message received from Peer 8
2 [9] > Ping response received from Peer 14
2 [9] > Ping response received from Peer 19
2 [14] > Ping requests sent to Peers 19 and 2
2 [14] > Ping request message received from Peer 8
2 [14] > Ping request message received from Peer 9
2 [14] > Ping response received from Peer 19
2 [14] > Ping response received from Peer 2
2 [19] > Ping requests sent to Peers 2 and 4
2 [19] > Ping request message received from Peer 9
2 [19] > Ping request message received from Peer 14
2 [19] > Ping response received from Peer 2
2 [19] > Ping response received from Peer 4
3 [4] > Peer 15 Join request forwarded to my successor
3 [5] > Peer 15 Join request forwarded to my successor
3 [8] > Peer 15 Join request forwarded to my successor
3 [9] > Peer 15 Join request forwarded to my successor
3 [14] > Peer 15 Join request received
3 [14] > My new first successor is Peer 15
3 [14] > My new second successor is Peer 19
3 [9] > Successor Change request received
3 [9] > My new first successor is Peer 14
3 [9] > My new second successor is Peer 15
3 [15] > Join request has been accepted
3 [15] > My first successor is Peer 19
3 [15] > My second successor is Peer 2
4 [8] > Peer 9 will depart from the network
4 [8] > My new first successor is Peer 14
4 [8] > My new second successor is Peer 19
4 [5] > Peer 9 will depart from the network
4 [5] > My new first successor is Peer 8
4 [5] > My new second successor is Peer 14
5 [9] > Peer 14 is no longer alive
5 [9] > My new first successor is Peer 19
5 [9] > My new second successor is Peer 2
5 [8] > Peer 14 is no longer alive
5 [8] > My new first successor is Peer 9
5 [8] > My new second successor is Peer 19
6 [8] > Store 2067 request forwarded to my successor
6 [9] > Store 2067 request forwarded to my successor
6 [14] > Store 2067 request forwarded to my successor
6 [19] > Store 2067 request accepted
7 [2] > File request for 4103 has been sent to my successor
7 [4] > Request for File 4103 has been received, but the file is not stored here
7 [5] > Request for File 4103 has been received, but the file is not stored here
7 [8] > File 4103 is stored here
7 [8] > Sending file 4103 to Peer 2
7 [8] > The file has been sent
7 [2] > Peer 8 had File 4103
7 [2] > Receiving File 4103 from Peer 8
7 [2] > File 4103 received
`

// expected returns the lines of steps, by step and peer.
func expected(t *testing.T) map[string]script {
	t.Helper()
	all := map[string]script{}
	for line := range strings.Lines(strings.TrimPrefix(steps, "\n")) {
		step, said, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if all[step] == nil {
			all[step] = script{}
		}
		peer, text := "", said
		if rest, ok := strings.CutPrefix(said, "["); ok {
			peer, text, _ = strings.Cut(rest, "] ")
		}
		all[step][peer] = append(all[step][peer], text)
	}
	return all
}

// TestScriptsAreTheClassicRing: what the demo holds its transcript against is
// the classic ring's.
func TestScriptsAreTheClassicRing(t *testing.T) {
	want := expected(t)
	pings := pingScript([]string{"2", "4", "5", "8", "9", "14", "19"})
	if faults := want["2"].faults(pings, unordered); len(faults) > 0 {
		t.Errorf("step 2: %q", faults)
	}
	for n := 3; n <= 7; n++ {
		if faults := want[fmt.Sprint(n)].faults(classicScripts[n], ordered); len(faults) > 0 {
			t.Errorf("step %d: %q", n, faults)
		}
	}
	if len(classicScripts) != 5 || len(want) != 7 {
		t.Errorf("%d scripts and %d steps, want 5 and 7", len(classicScripts), len(want))
	}
}

func TestFaultsOfATranscript(t *testing.T) {
	want := script{"2": {"a", "b", "b"}, "14": {"c"}}
	for _, test := range []struct {
		got                script
		ordered, unordered []string
	}{
		{script{"2": {"a", "b", "b"}, "14": {"c"}}, nil, nil},
		{script{"2": {"b", "a", "b"}, "14": {"c"}}, []string{"in another order: [2] b a b"}, nil},
		{script{"2": {"a", "b"}}, []string{"missing: [2] b", "missing: [14] c"}, []string{"missing: [2] b", "missing: [14] c"}},
		{script{"2": {"a", "b", "b", "b"}, "14": {"c"}, "5": {"a"}}, []string{"too much: [2] b", "too much: [5] a"}, []string{"too much: [2] b", "too much: [5] a"}},
		{script{"2": {"a", "b", "c"}, "14": {"c"}}, []string{"missing: [2] b", "too much: [2] c"}, []string{"missing: [2] b", "too much: [2] c"}},
	} {
		if got := want.faults(test.got, ordered); !slices.Equal(got, test.ordered) {
			t.Errorf("faults(%v, ordered) = %q, want %q", test.got, got, test.ordered)
		}
		if got := want.faults(test.got, unordered); !slices.Equal(got, test.unordered) {
			t.Errorf("faults(%v, unordered) = %q, want %q", test.got, got, test.unordered)
		}
	}
}

func TestLongestSilence(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		phases []time.Duration
		want   time.Duration
	}{
		{nil, 0}, {[]time.Duration{0}, 5 * s}, {[]time.Duration{2 * s, 4 * s}, 8 * s}, {[]time.Duration{9 * s, 1 * s}, 5 * s},
		{[]time.Duration{4 * s, 2 * s, 9 * s}, 6*s + s/2}, {[]time.Duration{4 * s, 3 * s, 8 * s, 7 * s}, s / 2},
	} {
		if got := longestSilence(test.phases, 10*s); got != test.want {
			t.Errorf("longestSilence(%v) = %v, want %v", test.phases, got, test.want)
		}
	}
}

// TestClassicDemo runs the classic demo with real processes, only quicker, and
// compares what it prints with the seven steps.
func TestClassicDemo(t *testing.T) {
	if !*withDemos {
		return
	}
	t.Parallel()
	cmd := demo(t, "--classic", "--interval", "1500ms")
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &notes)
	}
	want := map[string][]string{} // of all steps, by peer; "": the demo's own
	for _, step := range slices.Sorted(maps.Keys(expected(t))) {
		for peer, said := range expected(t)[step] {
			want[peer] = append(want[peer], said...)
		}
	}
	got := script{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		peer, text := "", line
		if rest, ok := strings.CutPrefix(line, "["); ok {
			peer, text, _ = strings.Cut(rest, "] ")
		}
		got[peer] = append(got[peer], text)
	}
	for peer, said := range want { // the pings come first, in any order
		const pings = 5
		if peer != "" && peer != "15" {
			slices.Sort(said[:pings])
			slices.Sort(got[peer][:min(pings, len(got[peer]))])
		}
	}
	if faults := script(want).faults(got, ordered); len(faults) > 0 {
		t.Errorf("%q in\n%s%s", faults, &out, &notes)
	}
}

// outdoors starts peers by hand, in folders of their own, and notes what they
// print.
type outdoors struct {
	t     *testing.T
	peers map[string]*actor

	mu   sync.Mutex
	said script
	more chan struct{} // one place: something was said
}

// TestSevenPeersOverStandardInput drives peers of other numbers than the
// demo's by what is typed at them, and reads what they print.
func TestSevenPeersOverStandardInput(t *testing.T) {
	t.Parallel()
	const interval = 400 * time.Millisecond
	numbers := []string{"3", "7", "20", "60", "100", "200", "250"}
	o := &outdoors{t: t, peers: map[string]*actor{}, said: script{}, more: make(chan struct{}, 1)}
	o.members(interval, append(numbers, "150"))
	for i, n := range numbers {
		o.start(n, "init", n, numbers[(i+1)%7], numbers[(i+2)%7], interval.String())
	}
	o.whole(7)
	o.forget(interval) // what each said of those that started after it

	forwarded := "> Store 4103 request forwarded to my successor"
	o.file("60", "4103.pdf", 70_000)
	o.tell("60", "Store 4103") // key 7, past zero
	o.expect(script{
		"60": {forwarded}, "100": {forwarded}, "200": {forwarded}, "250": {forwarded}, "3": {forwarded},
		"7": {"> Store 4103 request accepted"},
	})

	o.file("200", "2067.pdf", 0)
	o.tell("200", "Store 2067") // key 19
	forwarded = "> Store 2067 request forwarded to my successor"
	o.expect(script{"200": {forwarded}, "250": {forwarded}, "3": {forwarded}, "7": {forwarded}, "20": {"> Store 2067 request accepted"}})

	o.tell("100", "Request 4103")
	passed := "> Request for File 4103 has been received, but the file is not stored here"
	o.expect(script{
		"100": {
			"> File request for 4103 has been sent to my successor", "> Peer 7 had File 4103",
			"> Receiving File 4103 from Peer 7", "> File 4103 received",
		},
		"200": {passed}, "250": {passed}, "3": {passed},
		"7": {"> File 4103 is stored here", "> Sending file 4103 to Peer 100", "> The file has been sent"},
	})
	o.same("60", "4103.pdf", "100", "received_4103.pdf")

	o.tell("20", "Request 4103") // it has a copy itself, but 7 owns the key
	o.expect(script{
		"20": {
			"> File request for 4103 has been sent to my successor", "> Peer 7 had File 4103",
			"> Receiving File 4103 from Peer 7", "> File 4103 received",
		},
		"60": {passed}, "100": {passed}, "200": {passed}, "250": {passed}, "3": {passed},
		"7": {"> File 4103 is stored here", "> Sending file 4103 to Peer 20", "> The file has been sent"},
	})

	o.file("250", "0250.pdf", 9)
	o.tell("250", "Store 0250") // it owns the key
	o.expect(script{"250": {"> Store 0250 request accepted"}})

	o.start("150", "join", "150", "7", interval.String())
	forwarded = "> Peer 150 Join request forwarded to my successor"
	o.expect(script{
		"7": {forwarded}, "20": {forwarded},
		"60":  {forwarded, "> Successor Change request received", "> My new first successor is Peer 100", "> My new second successor is Peer 150"},
		"100": {"> Peer 150 Join request received", "> My new first successor is Peer 150", "> My new second successor is Peer 200"},
		"150": {"> Join request has been accepted", "> My first successor is Peer 200", "> My second successor is Peer 250"},
	})
	o.whole(8)

	o.tell("20", "Quit")
	leaves := "> Peer 20 will depart from the network"
	o.expect(script{
		"7": {leaves, "> My new first successor is Peer 60", "> My new second successor is Peer 100"},
		"3": {leaves, "> My new first successor is Peer 7", "> My new second successor is Peer 60"},
	})
	<-o.peers["20"].process.done
	if err := o.peers["20"].process.err; err != nil {
		t.Errorf("after Quit: %v", err)
	}
	o.whole(7)

	o.tell("3", "Request 2067") // 20 is gone, its file is not
	o.expect(script{
		"3": {
			"> File request for 2067 has been sent to my successor", "> Peer 60 had File 2067",
			"> Receiving File 2067 from Peer 60", "> File 2067 received",
		},
		"7":  {"> Request for File 2067 has been received, but the file is not stored here"},
		"60": {"> File 2067 is stored here", "> Sending file 2067 to Peer 3", "> The file has been sent"},
	})
	o.same("200", "2067.pdf", "3", "received_2067.pdf")
	if err := o.peers["3"].process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	dead := "> Peer 3 is no longer alive"
	o.expect(script{
		"250": {dead, "> My new first successor is Peer 7", "> My new second successor is Peer 60"},
		"200": {dead, "> My new first successor is Peer 250", "> My new second successor is Peer 7"},
	})
}

// members makes keys and one roster with the program's own commands.
func (o *outdoors) members(interval time.Duration, names []string) {
	o.t.Helper()
	temp, err := os.MkdirTemp("", "sp") // short: sockets lie below it
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { os.RemoveAll(temp) })
	path := filepath.Join(temp, "roster")
	o.command("roster", "init", "seven", "--roster", path, "--space", "8", "--route", "walk", "--observers", "2", "--interval", interval.String())
	for _, n := range names {
		a := &actor{member: keys.Member{Name: n}, dir: filepath.Join(temp, n)}
		a.client = control.New(a.dir)
		o.peers[n] = a
		key := strings.TrimSpace(o.command("keygen", "--dir", a.dir))
		a.listen = reserve(o.t)
		o.command("roster", "add", n, key, a.listen.addr(), "--id", n, "--roster", path)
	}
	roster, err := os.ReadFile(path)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, a := range o.peers {
		if err := os.WriteFile(filepath.Join(a.dir, "roster"), roster, 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *outdoors) command(args ...string) (out string) {
	o.t.Helper()
	cmd := program(args...)
	b, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("%q: %v", cmd.Args, err)
	}
	return string(b)
}

func (o *outdoors) start(name string, args ...string) {
	o.t.Helper()
	a := o.peers[name]
	cmd := program(append([]string{"--dir", a.dir}, args...)...)
	cmd.Dir = a.dir
	cmd.Stdout = &lines{f: func(line string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.said[name] = append(o.said[name], line)
		select {
		case o.more <- struct{}{}:
		default: // it is known already
		}
	}}
	log, err := os.Create(a.logPath())
	if err != nil {
		o.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	a.listen.release()
	if err := a.run(cmd); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(a.kill)
}

func (o *outdoors) tell(name, line string) {
	o.t.Helper()
	if err := o.peers[name].tell(line); err != nil {
		o.t.Fatal(err)
	}
}

// whole waits until n peers run and agree on their ring.
func (o *outdoors) whole(n int) {
	o.t.Helper()
	var live []*actor
	for _, a := range o.peers {
		if a.running() {
			live = append(live, a)
		}
	}
	_, err := until(context.Background(), live, patience, "all agree", func(all []control.Status) bool {
		return len(all) == n && agree(all, n)
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// expect waits until the peers have said what is in the script, and fails if
// that is not exactly what they have said since the last time.
func (o *outdoors) expect(want script) {
	o.t.Helper()
	late := time.After(patience)
	for {
		o.mu.Lock()
		faults := want.faults(o.said, ordered)
		if len(faults) == 0 {
			o.said = script{}
		}
		o.mu.Unlock()
		if len(faults) == 0 {
			return
		}
		select {
		case <-o.more:
		case <-late:
			o.t.Fatalf("%q", faults)
		}
	}
}

// forget drops what was said until now, and waits until nobody has said
// anything for that long.
func (o *outdoors) forget(quiet time.Duration) {
	for {
		o.mu.Lock()
		o.said = script{}
		o.mu.Unlock()
		select {
		case <-o.more:
		case <-time.After(quiet):
			return
		}
	}
}

func (o *outdoors) file(name, file string, size int) {
	o.t.Helper()
	content := bytes.Repeat([]byte("page "+file+"\n"), size/8)
	if err := os.WriteFile(filepath.Join(o.peers[name].dir, file), content, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// same compares two files of two peers.
func (o *outdoors) same(name, file, other, copied string) {
	o.t.Helper()
	want, err := os.ReadFile(filepath.Join(o.peers[name].dir, file))
	if err != nil {
		o.t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(o.peers[other].dir, copied))
	if err != nil || !bytes.Equal(got, want) {
		o.t.Errorf("%s has %d bytes (%v), not the %d of %s", copied, len(got), err, len(want), file)
	}
}
