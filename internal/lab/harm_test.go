//go:build linux

package lab

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// harm is one thing that a member can do to the others.
type harm struct {
	state   wire.State                              // in which it is; 0: full
	lawful  bool                                    // each single thing that it does a member may do
	mute    bool                                    // it never answers a question for bytes
	outside bool                                    // it does not enter the ring
	before  func(p *puppet) error                   // what it prepares; nil: nothing
	look    func(p *puppet, name string) wire.Found // nil: an honest answer
	harm    func(p *puppet)                         // until its context ends
}

// harms are those of the last review, by name.
var harms = map[string]*harm{
	"looks":         {lawful: true, before: putVersions, harm: askForVersions}, // each opens one file, however many versions there are
	"phantoms":      {state: wire.Active, mute: true, look: phantom, harm: wait},
	"small puts":    {lawful: true, harm: putSmall},
	"bad uploads":   {harm: putWrong},
	"bad messages":  {harm: sayWrong},
	"ping requests": {harm: askForPings},
	"idle":          {outside: true, harm: holdDoors},
	"waiting":       {harm: leaveUploads},
}

// versions is how many of one name there are.
const versions = 3000

// eachMember does something for each other member at once, so many times each,
// and again until the puppet ends. A failure is followed by a pause.
func (p *puppet) eachMember(times int, do func(m keys.Member, i int) error) {
	var running sync.WaitGroup
	for _, m := range p.others() {
		for i := range times {
			running.Go(func() {
				for p.ctx.Err() == nil {
					if do(m, i) != nil {
						time.Sleep(lookEvery)
					}
				}
			})
		}
	}
	running.Wait()
}

// saysEach sends each other member messages, so many a second, over the link
// that its answers take, too: much more than any member has to say, and little
// enough not to be kept from answering by itself.
func (p *puppet) saysEach(second int, next func(m keys.Member, n uint32) wire.Message) {
	p.eachMember(1, func(m keys.Member, _ int) error {
		tick := time.NewTicker(time.Second / 50)
		defer tick.Stop()
		for range tick.C {
			for range second / 50 {
				if !p.sayTo(m.ID, next(m, uint32(p.done.Add(1)))) {
					return io.ErrClosedPipe
				}
			}
		}
		return nil
	})
}

// floodRate is how many messages a second one member sends each other one.
const floodRate = 2000

func wait(p *puppet) { <-p.ctx.Done() }

// upload sends a file of those bytes over a transfer link, and returns the
// answer's code.
func upload(c *crypto.Conn, number uint64, to wire.ID, m wire.Manifest, data []byte) (wire.Code, error) {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := say(c, wire.Put{Upload: number, Size: uint64(len(data)), Name: m.Name, Holders: []wire.ID{to}}); err != nil {
		return 0, err
	}
	if _, err := c.Write(data); err != nil {
		return 0, err
	}
	if err := say(c, wire.PutEnd{Manifest: m}); err != nil {
		return 0, err
	}
	return ack(c)
}

func ack(c *crypto.Conn) (wire.Code, error) {
	typ, body, err := c.ReadRecord()
	if err != nil {
		return 0, err
	}
	m, err := wire.Parse(wire.Type(typ), body)
	if err != nil {
		return 0, err
	}
	if a, ok := m.(wire.PutAck); ok {
		return a.Code, nil
	}
	return 0, fmt.Errorf("an upload is answered by a %v", m.Type())
}

// putVersions has the others hold thousands of versions of one name.
func putVersions(p *puppet) error {
	data := []byte("x")
	sum := blake3.Sum256(data)
	blocks := wire.Sum(blake3.Sum256(sum[:]))
	const at = 4 // links to each member
	late := time.Now().Add(25 * time.Second)
	var running sync.WaitGroup
	for _, m := range p.others() {
		for i := range at {
			running.Go(func() {
				c, err := p.dial(m, crypto.Transfer)
				if err != nil {
					return
				}
				defer c.Close()
				for v := 1 + i; v <= versions && time.Now().Before(late); v += at {
					if code, err := upload(c, uint64(v), m.ID, p.file("many", uint64(v), 1, blocks), data); err != nil {
						return
					} else if code == wire.CodeOK || code == wire.CodeNotOwner {
						p.done.Add(1)
					}
				}
			})
		}
	}
	running.Wait()
	if n := p.done.Swap(0); n < versions {
		return fmt.Errorf("only %d versions were taken", n)
	}
	return nil
}

// askForVersions asks everybody for the versions of that name, fifty times a
// second: as much work as five times a second for ten times as many versions.
func askForVersions(p *puppet) {
	p.saysEach(50, func(_ keys.Member, n uint32) wire.Message { return wire.Look{Req: n, Name: "many"} })
}

// phantom claims a newer version of whatever it is asked for, of bytes that
// nobody has; of those it says nothing when it is asked for them.
func phantom(p *puppet, name string) wire.Found {
	p.done.Add(1)
	return wire.Found{Home: true, Manifests: []wire.Manifest{p.file(name, 1<<40, 5, wire.Sum{1})}}
}

// putSmall puts files of one byte, each at one member, who has to see that the
// others hold them too.
func putSmall(p *puppet) {
	data := []byte("x")
	sum := blake3.Sum256(data)
	blocks := wire.Sum(blake3.Sum256(sum[:]))
	p.eachMember(4, func(m keys.Member, _ int) error {
		c, err := p.dial(m, crypto.Transfer)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			n := uint64(p.done.Add(1))
			if _, err := upload(c, n, m.ID, p.file(fmt.Sprint("small-", n), 1, 1, blocks), data); err != nil {
				return err
			}
		}
	})
}

// putWrong uploads what its manifest does not describe.
func putWrong(p *puppet) {
	p.eachMember(2, func(m keys.Member, _ int) error {
		c, err := p.dial(m, crypto.Transfer)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			n := uint64(p.done.Add(1))
			if _, err := upload(c, n, m.ID, p.file(fmt.Sprint("wrong-", n), 1, 3, wire.Sum{1}), []byte("abc")); err != nil {
				return err
			}
		}
	})
}

// sayWrong sends what no member sends: rows, votes and manifests in others'
// names, and answers to what was not asked.
func sayWrong(p *puppet) {
	row, claim := p.row(), p.file("wrong", 1, 3, wire.Sum{1})
	p.saysEach(floodRate, func(m keys.Member, n uint32) wire.Message {
		row, claim := row, claim
		row.ID, claim.Writer = m.ID, m.ID
		messages := []wire.Message{
			wire.Rows{Rows: []wire.Row{row}}, wire.Found{Req: n, Home: true, Manifests: []wire.Manifest{claim}},
			wire.Offer{Req: n, Source: p.self.ID, Manifest: claim}, wire.Settled{Incarnation: 1 << 50}, wire.Here{Req: n},
			wire.Confirmed{Req: n}, wire.Ask{Req: n, Next: m.ID}, wire.Listed{Req: n, Manifests: []wire.Manifest{claim}},
		}
		return messages[int(n)%len(messages)]
	})
}

// askForPings has each member ping each other one.
func askForPings(p *puppet) {
	all := p.others()
	p.saysEach(floodRate, func(_ keys.Member, n uint32) wire.Message {
		return wire.PingReq{Req: n, Member: all[int(n)%len(all)].ID}
	})
}

// holdDoors keeps 34 connections to each member that say nothing, and comes
// again whenever one is closed.
func holdDoors(p *puppet) {
	p.eachMember(34, func(m keys.Member, _ int) error {
		c, err := net.DialTimeout("tcp", m.Addr, time.Second)
		if err != nil {
			return err
		}
		p.done.Add(1)
		stop := make(chan struct{})
		go func() { // ends with the connection
			select {
			case <-p.ctx.Done():
				c.Close()
			case <-stop:
			}
		}()
		io.Copy(io.Discard, c)
		close(stop)
		return c.Close()
	})
}

// leaveUploads sends much to each member and never the end of it.
func leaveUploads(p *puppet) {
	data := make([]byte, 1<<20)
	p.eachMember(2, func(m keys.Member, _ int) error {
		c, err := p.dial(m, crypto.Transfer)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			n := uint64(p.done.Add(1))
			if err := say(c, wire.Put{Upload: n, Size: wire.SizeUnknown, Name: fmt.Sprint("waiting-", n), Holders: []wire.ID{m.ID}}); err != nil {
				return err
			}
			for range 8 {
				if _, err := c.Write(data); err != nil {
					return err
				}
			}
			if err := say(c, wire.PutMore{}); err != nil {
				return err
			}
			if _, err := ack(c); err != nil {
				return err
			}
		}
	})
}
