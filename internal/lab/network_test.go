//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// networkCases are the tests of the lab itself, over its real links. Each has a
// seed, and asserts what it prints.
var networkCases = []testCase{
	{"loss", 1, faultsAreThePredicted(Rule{Loss: .3})},
	{"duplication", 2, faultsAreThePredicted(Rule{Dup: .5})},
	{"reordering", 3, faultsAreThePredicted(Rule{Reorder: .2, Hold: 30 * time.Millisecond})},
	{"damage", 4, faultsAreThePredicted(Rule{Flip: .2})},
	{"everything", 5, faultsAreThePredicted(Rule{Loss: .1, Dup: .2, Reorder: .1, Flip: .1, Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond})},
	{"delay", 6, delayIsThatOfTheRule},
	{"rate", 7, rateIsThatOfTheRule},
	{"cuts", 8, cutsCutOneDirection},
	{"split", 9, splitAndHeal},
	{"sniffer", 10, snifferSeesEveryFrame},
	{"aliases", 11, aliasesAreReached},
	{"names", 12, namesAreChecked},
	{"killed", 13, killedLabIsSwept},
	{"living", 14, livingLabsAreKept},
	{"closing", 15, closeLeavesNothing},
	{"hundred", 16, hundredNamespaces},
	{"name server", 17, namesLeadWhereTheTestSays},
	{"addresses", 18, addressesComeAndGo},
}

const echoPort = 7

// newLab makes a lab that ends with the test.
func newLab(t *testing.T, n int, seed uint64) *Lab {
	t.Helper()
	l, err := New(n, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// listenUDP opens a socket in a namespace that holds a whole test's datagrams.
func listenUDP(t *testing.T, l *Lab, id int) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	if err := l.Do(id, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Addr(id), echoPort)))
		if err != nil {
			return err
		}
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
		})
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(t *testing.T, l *Lab, network string, from, to int) net.Conn {
	t.Helper()
	var c net.Conn
	if err := l.Do(from, func() (err error) {
		c, err = net.DialTimeout(network, netip.AddrPortFrom(Addr(to), echoPort).String(), 5*time.Second)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// arrival is a datagram that came: its number and when.
type arrival struct {
	number int
	at     time.Time
}

// flood sends n numbered datagrams from one namespace to another, ten each
// millisecond, and returns when they were sent and what came, in order. It
// waits for want of them, and then a moment for more.
func flood(t *testing.T, l *Lab, from, to, n, want int) (sent []time.Time, came []arrival) {
	t.Helper()
	in, out := listenUDP(t, l, to), dial(t, l, "udp4", from, to)
	defer in.Close()
	done := make(chan struct{})
	enough := make(chan struct{})
	go func() { // ends when in is closed, or with its deadline
		defer close(done)
		b := make([]byte, 100)
		for {
			if k, err := in.Read(b); err != nil || k != 64 {
				return
			}
			came = append(came, arrival{int(binary.BigEndian.Uint32(b)), time.Now()})
			if len(came) == want {
				close(enough)
			}
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b := make([]byte, 64)
	for i := range n {
		if i%10 == 0 {
			<-tick.C
		}
		binary.BigEndian.PutUint32(b, uint32(i))
		sent = append(sent, time.Now())
		if _, err := out.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if want > 0 {
		select {
		case <-enough:
		case <-time.After(5 * time.Second):
		}
	}
	in.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-done
	return sent, came
}

// meet sends one datagram, so that the kernel knows the receiver's Ethernet
// address. Those that it keeps until it does may be overtaken by later ones.
func meet(t *testing.T, l *Lab, from, to int) {
	t.Helper()
	if _, came := flood(t, l, from, to, 1, 1); len(came) != 1 {
		t.Fatalf("the first datagram from %d to %d does not come", from, to)
	}
}

// faultsAreThePredicted: what the kernel of the receiver sees is what the seed
// says, frame by frame: a second link of the same seed, which carries nothing,
// predicts who is lost, doubled, late and damaged. So the shares that this
// prints are those of the rule, within five standard deviations.
func faultsAreThePredicted(r Rule) func(*testing.T, uint64) {
	return func(t *testing.T, seed uint64) {
		const n = 4000
		l, twin := newLab(t, 2, seed), newLink(seed, Rule{})
		meet(t, l, 1, 2)
		fates(twin, 1)
		l.Set(1, 2, r)
		twin.rule.Store(&r)
		want, wanted := make([]int, n), 0
		for i, f := range fates(twin, n) {
			if f.flip < 0 { // the kernel drops what is damaged
				want[i] = f.copies
				wanted += f.copies
			}
		}
		_, came := flood(t, l, 1, 2, n, wanted)
		got := make([]int, n)
		overtaken, last := 0, -1
		for _, a := range came {
			got[a.number]++
			if a.number < last {
				overtaken++
			}
			last = max(last, a.number)
		}
		s := l.Stats(1, 2)
		t.Logf("%+v of %d: %d came, %d after a later one", s, n, len(came), overtaken)
		if !slices.Equal(got, want) {
			t.Errorf("%d datagrams came, want %d, or others than the seed says", len(came), wanted)
		}
		if s != twin.stats() {
			t.Errorf("%+v were counted, want %+v", s, twin.stats())
		}
		passed := int(s.Passed)
		if !near(s.Lost, n, r.Loss) || !near(s.Duplicated, passed, r.Dup) || !near(s.Reordered, passed, r.Reorder) || !near(s.Flipped, passed, r.Flip) {
			t.Errorf("the shares are not those of %+v", r)
		}
		if (overtaken > 0) != (r.Reorder > 0) {
			t.Errorf("%d datagrams came after a later one under %+v", overtaken, r)
		}
	}
}

// delayIsThatOfTheRule: nothing comes before the delay, half of all within
// 10 ms after it and its jitter, and in order.
func delayIsThatOfTheRule(t *testing.T, seed uint64) {
	const n = 500
	r := Rule{Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond}
	l := newLab(t, 2, seed)
	meet(t, l, 1, 2)
	l.Set(1, 2, r)
	sent, came := flood(t, l, 1, 2, n, n)
	if len(came) != n {
		t.Fatalf("%d of %d came", len(came), n)
	}
	var took []time.Duration
	for i, a := range came {
		if a.number != i {
			t.Fatalf("number %d came at place %d", a.number, i)
		}
		took = append(took, a.at.Sub(sent[i]))
	}
	slices.Sort(took)
	t.Logf("delay %v and up to %v: least %v, median %v, most %v", r.Delay, r.Jitter, took[0], took[n/2], took[n-1])
	if took[0] < r.Delay || took[n/2] > r.Delay+r.Jitter+10*time.Millisecond {
		t.Error("which is not what the rule says")
	}
}

// rateIsThatOfTheRule: TCP gets no more than the rate, and most of it.
func rateIsThatOfTheRule(t *testing.T, seed uint64) {
	const bytesPerSecond, size = 1_250_000, 1_500_000 // 10 Mbit/s
	l := newLab(t, 2, seed)
	l.Both(1, 2, Rule{Rate: bytesPerSecond})
	var ln net.Listener
	if err := l.Do(2, func() (err error) {
		ln, err = net.Listen("tcp4", netip.AddrPortFrom(Addr(2), echoPort).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	start := time.Now()
	go func() { // ends when all is sent, or when the test closes the connection
		c, err := ln.Accept()
		if err == nil {
			c.Write(make([]byte, size))
			c.Close()
		}
	}()
	c := dial(t, l, "tcp4", 1, 2)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := io.Copy(io.Discard, c)
	took := time.Since(start)
	share := float64(n) / took.Seconds() / bytesPerSecond
	t.Logf("%d bytes in %v: %.2f of the rate; %+v", n, took, share, l.Stats(2, 1))
	if err != nil || n != size || share > 1 || share < .5 {
		t.Errorf("want %d bytes at .5 to 1 of the rate (%v)", size, err)
	}
}

// cutsCutOneDirection: a cut of 1 -> 2 leaves 2 -> 1 and all others as they
// are, and the counters say so.
func cutsCutOneDirection(t *testing.T, seed uint64) {
	const n = 50
	l := newLab(t, 3, seed)
	l.Set(1, 2, Rule{Cut: true})
	for _, c := range []struct{ from, to, want int }{{1, 2, 0}, {2, 1, n}, {1, 3, n}, {3, 2, n}} {
		_, came := flood(t, l, c.from, c.to, n, c.want)
		s := l.Stats(c.from, c.to)
		t.Logf("%d -> %d: %d of %d, %+v", c.from, c.to, len(came), n, s)
		if len(came) != c.want || s.Passed != uint64(c.want) || s.Lost != uint64(n-c.want) {
			t.Errorf("%d -> %d: %d of %d, want %d", c.from, c.to, len(came), n, c.want)
		}
	}
}

// splitAndHeal: nothing passes between the groups, everything inside them,
// and after Heal everything everywhere; a Loss outlives both.
func splitAndHeal(t *testing.T, seed uint64) {
	const n = 20
	l := newLab(t, 5, seed)
	l.Set(5, 4, Rule{Loss: 1})
	count := func(from, to, want int) {
		t.Helper()
		if _, came := flood(t, l, from, to, n, want); len(came) != want {
			t.Errorf("%d -> %d: %d of %d, want %d", from, to, len(came), n, want)
		}
	}
	l.Split([]int{1, 2}, []int{3}) // 4 and 5 are the rest
	for _, c := range [][2]int{{1, 2}, {4, 5}} {
		count(c[0], c[1], n)
	}
	for _, c := range [][2]int{{1, 3}, {3, 1}, {2, 4}, {4, 3}} {
		count(c[0], c[1], 0)
	}
	l.Heal()
	for _, c := range [][2]int{{1, 3}, {2, 4}, {4, 3}} {
		count(c[0], c[1], n)
	}
	count(5, 4, 0)
}

// snifferSeesEveryFrame, also those that are lost, and none after it is gone.
func snifferSeesEveryFrame(t *testing.T, seed uint64) {
	l := newLab(t, 2, seed)
	l.Set(1, 2, Rule{Cut: true})
	var frames, bytes atomic.Int64
	l.Sniff(func(from, to int, frame []byte) {
		if from == 1 && to == 2 {
			frames.Add(1)
			bytes.Add(int64(len(frame)))
		}
	})
	flood(t, l, 1, 2, 100, 0)
	l.Sniff(nil)
	flood(t, l, 1, 2, 100, 0)
	const size = etherHeader + ipHeader + 8 + 64
	if frames.Load() != 100 || bytes.Load() != 100*size {
		t.Errorf("%d frames of %d bytes, want 100 of %d", frames.Load(), bytes.Load(), 100*size)
	}
}

// aliasesAreReached: a namespace with more addresses speaks and is answered
// from each.
func aliasesAreReached(t *testing.T, seed uint64) {
	l := newLab(t, 2, seed)
	addrs, err := l.AddAliases(1, maxAliases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddAliases(1, maxAliases+1); err == nil {
		t.Error("there is no limit")
	}
	in := listenUDP(t, l, 2)
	b := make([]byte, 10)
	for _, a := range addrs {
		var out *net.UDPConn
		if err := l.Do(1, func() (err error) {
			out, err = net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)), in.LocalAddr().(*net.UDPAddr))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		out.SetDeadline(time.Now().Add(5 * time.Second))
		in.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, from, err := in.ReadFromUDPAddrPort(b)
		if err != nil || from.Addr() != a {
			t.Fatalf("a datagram from %v: %v, want %v", from, err, a)
		}
		if _, err := in.WriteToUDPAddrPort([]byte("y"), from); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(b); err != nil {
			t.Fatalf("no answer at %v: %v", a, err)
		}
	}
	t.Logf("%d addresses", len(addrs))
}

// namesAreChecked: a lab has limits, and a test that names a namespace that
// is not there is told.
func namesAreChecked(t *testing.T, seed uint64) {
	for _, n := range []int{-1, 0, maxNamespaces + 1} {
		if _, err := New(n, seed); err == nil {
			t.Errorf("there is a lab of %d", n)
		}
	}
	l := newLab(t, 2, seed)
	for _, wrong := range []func(){
		func() { l.Set(3, 1, Rule{}) }, func() { l.Set(1, -1, Rule{}) }, func() { l.Both(1, 3, Rule{}) },
		func() { l.Split([]int{3}) }, func() { l.Stats(0, 1) }, func() { l.Do(3, func() error { return nil }) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "this lab has 1 to 2") {
					t.Errorf("a wrong id gives %q", text)
				}
			}()
			wrong()
		}()
	}
	if err := l.Do(1, func() error { return io.ErrShortWrite }); err != io.ErrShortWrite {
		t.Errorf("Do returns %v, not what its function returns", err)
	}
}

// remains returns the names of the namespaces of a process.
func remains(t *testing.T, pid int) []string {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("%s/%s%d-*", folder, prefix, pid))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// holdLab is what a second process of this test does: it makes a lab, starts
// a third process in it, says both, and waits to be killed.
func holdLab() error {
	l, err := New(3, 1)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+roleWait)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	if err := l.Start(2, cmd); err != nil {
		return err
	}
	fmt.Println(cmd.Process.Pid)
	select {}
}

// killedLabIsSwept: a process with a lab is killed by SIGKILL. Its namespaces
// and what runs in them outlive it; the next lab finds neither.
func killedLabIsSwept(t *testing.T, seed uint64) {
	holder := exec.Command("/proc/self/exe")
	holder.Env = append(os.Environ(), roleVariable+"="+roleHold)
	holder.Stderr = os.Stderr
	stdout, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var inside int
	_, err = fmt.Fscan(bufio.NewReader(stdout), &inside)
	holder.Process.Kill() // an error says that it has ended already
	holder.Wait()
	if err != nil {
		t.Fatalf("the second process made no lab: %v", err)
	}
	left := remains(t, holder.Process.Pid)
	held, err := unix.PidfdOpen(inside, 0)
	if err != nil || len(left) != 3 {
		t.Fatalf("what was killed left %d namespaces, and the process in them: %v", len(left), err)
	}
	defer unix.Close(held)
	newLab(t, 1, seed)
	if left := remains(t, holder.Process.Pid); len(left) != 0 {
		t.Errorf("a new lab leaves %q", left)
	}
	// A descriptor of a process becomes readable when it ends.
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(held), Events: unix.POLLIN}}, 5000)
	if n != 1 || err != nil {
		t.Errorf("process %d, in a namespace that is gone, still runs", inside)
		unix.Kill(inside, unix.SIGKILL)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if name := fmt.Sprintf("%s%d-", prefix, holder.Process.Pid); err != nil || bytes.Contains(mounts, []byte(name)) {
		t.Errorf("a mount of %s is left (%v)", name, err)
	}
}

// livingLabsAreKept: a new lab leaves alone what belongs to a process that
// runs, and what isn't a lab's. It takes what belonged to an earlier process
// with the same number, and what a process left that was killed between
// making the file and mounting it.
func livingLabsAreKept(t *testing.T, seed uint64) {
	first := newLab(t, 2, seed)
	create := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o444); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
		return path
	}
	parent := owner{os.Getppid(), startOf(os.Getppid())}
	theirs, err := parent.name(99, 1)
	if err != nil {
		t.Fatal(err)
	}
	earlier, err := owner{parent.pid, parent.start + 1}.name(99, 1)
	if err != nil {
		t.Fatal(err)
	}
	kept := []string{create(theirs), create(fmt.Sprintf("other-%d-1", 1<<30))}
	gone := []string{create(earlier)}
	newLab(t, 1, seed)
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range gone {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if _, came := flood(t, first, 1, 2, 20, 20); len(came) != 20 {
		t.Errorf("a second lab breaks the first: %d of 20 came", len(came))
	}
}

// closeLeavesNothing: no namespace, no file or process of one, no descriptor.
func closeLeavesNothing(t *testing.T, seed uint64) {
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := descriptors()
	l, err := New(5, seed)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+roleWait)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.WriteEtc(4, "hosts", "127.0.0.1 localhost\n"); err != nil {
		t.Fatal(err)
	}
	etc := l.port(4).etc()
	if err := l.Start(4, cmd); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process inside ended with %v", err)
	}
	stdin.Close()
	if left := remains(t, os.Getpid()); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
	if _, err := os.Stat(etc); err == nil {
		t.Errorf("%s is left", etc)
	}
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors were open before, %d after", before, after)
	}
}

// hundredNamespaces: a large lab is made and removed in some seconds.
func hundredNamespaces(t *testing.T, seed uint64) {
	start := time.Now()
	l, err := New(100, seed)
	if err != nil {
		t.Fatal(err)
	}
	up := time.Since(start)
	_, came := flood(t, l, 1, 100, 20, 20)
	start = time.Now()
	err = l.Close()
	t.Logf("100 namespaces: up in %v, down in %v", up, time.Since(start))
	if err != nil || len(came) != 20 {
		t.Errorf("%d of 20 came (%v)", len(came), err)
	}
}
