package node

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// moving is a bubble of three whose n1 is called by a name, and has no address
// but that of at. move gives it another one, which the name server says, too.
func moving(t *testing.T, f func(b *bubble, move func(host string))) {
	s := &nameServer{answers: map[string][]string{"n1.test": {"10.0.0.2"}}}
	at := make(chan string, 1) // one place: it holds the address of now
	at <- "10.0.0.2:7460"
	set := func(b *bubble) {
		b.change = func(i int, c *Config) {
			c.Resolve = s.resolve
			if i != 1 {
				return
			}
			c.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
				from := <-at
				at <- from
				return b.net.dialFrom(from)(ctx, network, to)
			}
		}
	}
	inBubbleOf(t, 3, 3, "copies=3 interval=1s", []string{"10.0.0.1:7460", "n1.test:7460", "10.0.0.3:7460"}, set, func(b *bubble) {
		f(b, func(host string) {
			was, to := <-at, net.JoinHostPort(host, "7460")
			at <- to
			b.net.move(was, to)
			s.set("n1.test", host)
			time.AfterFunc(time.Second, func() { // as its watch over the machine's addresses does
				b.nodes[1].members.leave(func(local netip.Addr) bool { return local.String() == host })
			})
		})
	})
}

// TestMemberThatMovedIsNotAwaitedWhereItWas: a member gets another address while
// it runs. A put that begins at once, over a link that was open to the old one,
// and one that begins when the member is heard again, are acked by all soon; so is
// a get. Each waited 10 s for an answer from the old address.
func TestMemberThatMovedIsNotAwaitedWhereItWas(t *testing.T) {
	moving(t, func(b *bubble, move func(string)) {
		for i, host := range []string{"10.0.1.2", "fd00::2", "10.0.0.2"} {
			for _, n := range b.nodes { // all have idle links with all
				put(b.t, n, fmt.Sprint("warm ", n.self), bytesOf(1, 1000))
			}
			move(host)
			began := time.Now()
			r := put(b.t, b.nodes[0], fmt.Sprint("at once ", i), bytesOf(1, 1000))
			if d := time.Since(began); d > 6*time.Second {
				b.t.Errorf("move to %s: a put at once took %v, copies at %v", host, d, r.Copies)
			}
			b.within(10*time.Second, "n1 is heard", func() bool {
				p := status(b.t, b.nodes[2]).Peers[1]
				return p.Linked && p.Why == WhyNone && p.Silence < time.Second
			})
			began = time.Now()
			r = put(b.t, b.nodes[2], fmt.Sprint("later ", i), bytesOf(2, 1000))
			got, _ := get(b.t, b.nodes[1], fmt.Sprint("later ", i))
			if d := time.Since(began); d > time.Second || len(r.Copies) != 3 || !bytes.Equal(got, bytesOf(2, 1000)) {
				b.t.Errorf("move to %s: a put and a get took %v, copies at %v", host, d, r.Copies)
			}
		}
		b.blameless()
		synctest.Wait()
	})
}
