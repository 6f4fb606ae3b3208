//go:build linux

package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// puppet is a process that has a member's key and speaks the protocol, but runs
// an attacker's program: it is in the ring, for most harms with a full disk, answers
// pings and questions, and besides does one harm as fast as it can.
type puppet struct {
	ctx     context.Context
	secret  *keys.Secret
	roster  *keys.Roster
	self    keys.Member
	config  *crypto.Config
	packets net.PacketConn
	done    atomic.Int64 // how often it did what it is there for
	state   wire.State
	mute    bool // it says nothing when it is asked for bytes
	// look answers a question for a name, in its own way.
	look func(name string) wire.Found

	mu      sync.Mutex
	links   map[wire.ID]*crypto.Conn // ring links, the latest of each member
	running sync.WaitGroup           // every goroutine; all end with ctx
}

// puppetIncarnation is higher than any that a real peer of this lab has had.
const puppetIncarnation = 1 << 20

// runPuppet is what a process with rolePuppet does: it reads key and roster in
// a folder, joins, does that harm until standard input ends, and says how often.
func runPuppet(dir, harm string) error {
	do := harms[harm]
	if do == nil {
		return fmt.Errorf("no harm is called %q", harm)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p, err := newPuppet(ctx, dir)
	if err != nil {
		cancel()
		return err
	}
	if err := p.prepare(do); err != nil {
		cancel()
		return err
	}
	fmt.Println("ready")
	p.running.Go(func() { do.harm(p) })
	io.Copy(io.Discard, os.Stdin)
	fmt.Println(p.done.Load())
	cancel()
	p.running.Wait()
	return nil
}

func newPuppet(ctx context.Context, dir string) (*puppet, error) {
	secret, err := keys.ReadKeyFile(filepath.Join(dir, "key"))
	if err != nil {
		return nil, err
	}
	roster, err := keys.LoadRoster(filepath.Join(dir, "roster"))
	if err != nil {
		return nil, err
	}
	self, ok := roster.ByKey(secret.Public().Noise)
	if !ok {
		return nil, errors.New("the roster does not list the puppet's key")
	}
	p := &puppet{ctx: ctx, secret: secret, roster: roster, self: self, links: make(map[wire.ID]*crypto.Conn)}
	p.look = func(string) wire.Found { return wire.Found{Code: wire.CodeBehind, Home: true} }
	p.config = &crypto.Config{
		Secret: secret, Ring: roster.Ring, Pings: crypto.NewPingTable(),
		Info: func() crypto.Info {
			return crypto.Info{Incarnation: puppetIncarnation, RosterDigest: roster.Digest()}
		},
		Lookup: func(noise [32]byte) (keys.Public, bool) {
			m, ok := roster.ByKey(noise)
			return m.Key, ok
		},
		Publish: func(*crypto.Conn) error { return nil },
	}
	return p, nil
}

// prepare does what comes before the harm, and, if that wants it, enters the
// ring and waits until every member has a link.
func (p *puppet) prepare(do *harm) error {
	if do.outside {
		return nil
	}
	p.mute, p.state = do.mute, cmp.Or(do.state, wire.Full)
	if do.look != nil {
		p.look = func(name string) wire.Found { return do.look(p, name) }
	}
	tcp, err := net.Listen("tcp", p.self.Addr)
	if err != nil {
		return err
	}
	if p.packets, err = net.ListenPacket("udp", p.self.Addr); err != nil {
		return err
	}
	l := crypto.Listen(tcp, p.config)
	context.AfterFunc(p.ctx, func() { l.Close(); p.packets.Close() })
	p.running.Go(p.pong)
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(c) })
		}
	})
	for _, m := range p.others() {
		p.running.Go(func() { p.linkTo(m) })
	}
	late := time.Now().Add(5 * time.Second)
	for p.linked() < len(p.others()) {
		if time.Now().After(late) {
			return errors.New("not every member has a link to the puppet")
		}
		time.Sleep(lookEvery)
	}
	if do.before != nil {
		return do.before(p)
	}
	return nil
}

// others are all members but the puppet.
func (p *puppet) others() (all []keys.Member) {
	for _, m := range p.roster.Members {
		if m.ID != p.self.ID {
			all = append(all, m)
		}
	}
	return all
}

func (p *puppet) linked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// linkTo dials a member whenever it has no ring link with it.
func (p *puppet) linkTo(m keys.Member) {
	for p.ctx.Err() == nil {
		p.mu.Lock()
		there := p.links[m.ID] != nil
		p.mu.Unlock()
		if !there {
			if c, err := p.dial(m, crypto.Ring); err == nil {
				p.running.Go(func() { p.serve(c) })
			}
		}
		time.Sleep(T)
	}
}

// dial opens a link, which ends with the puppet.
func (p *puppet) dial(m keys.Member, kind crypto.Kind) (*crypto.Conn, error) {
	raw, err := (&net.Dialer{Timeout: time.Second}).DialContext(p.ctx, "tcp", m.Addr)
	if err != nil {
		return nil, err
	}
	c, err := crypto.Dial(p.ctx, raw, p.config, m.Key, kind)
	if err == nil {
		context.AfterFunc(p.ctx, func() { c.Close() })
	}
	return c, err
}

func (p *puppet) sign(b []byte) wire.Sig { return p.secret.Sign(b) }

// row is what the puppet says of itself.
func (p *puppet) row() wire.Row {
	r := wire.Row{ID: p.self.ID, Incarnation: puppetIncarnation, State: p.state, Store: wire.StoreID{5}}
	r.Sig = p.sign(r.SignedBytes(p.roster.Ring, nil))
	return r
}

// file is a version of a name that the puppet has written.
func (p *puppet) file(name string, version uint64, size uint64, blocks wire.Sum) wire.Manifest {
	m := wire.Manifest{Name: name, Version: version, Writer: p.self.ID, Signer: p.self.ID, Mode: 0o644, Size: size, Blocks: blocks}
	m.Sig = p.sign(m.SignedBytes(p.roster.Ring, nil))
	return m
}

func say(c *crypto.Conn, m wire.Message) error { return c.WriteRecord(byte(m.Type()), m.Append(nil)) }

// sayTo sends a message over the ring link to a member; it reports false if
// there is none.
func (p *puppet) sayTo(id wire.ID, m wire.Message) bool {
	p.mu.Lock()
	c := p.links[id]
	p.mu.Unlock()
	return c != nil && say(c, m) == nil
}

// serve answers on a link until it ends.
func (p *puppet) serve(c *crypto.Conn) {
	defer c.Close()
	member, ok := p.roster.ByKey(c.Peer().Noise)
	if !ok {
		return
	}
	context.AfterFunc(p.ctx, func() { c.Close() })
	if c.Kind() == crypto.Ring {
		p.mu.Lock()
		p.links[member.ID] = c
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			if p.links[member.ID] == c {
				delete(p.links, member.ID)
			}
			p.mu.Unlock()
		}()
		say(c, wire.Find{Req: 1, For: wire.ForJoin}) // an error shows at the read
		say(c, wire.Rows{Rows: []wire.Row{p.row()}})
	}
	for {
		typ, body, err := c.ReadRecord()
		if err != nil {
			return
		}
		if typ == 1 {
			continue // data of an upload, which gets its answer at the end
		}
		m, err := wire.Parse(wire.Type(typ), body)
		if err != nil {
			return
		}
		for _, a := range p.answers(m) {
			if say(c, a) != nil {
				return
			}
		}
	}
}

// answers are those to one message: as little as a member can say that has a
// full disk.
func (p *puppet) answers(m wire.Message) []wire.Message {
	switch m := m.(type) {
	case wire.Buckets:
		if !m.Reply {
			m.Reply = true
			return []wire.Message{m}
		}
	case wire.Look:
		f := p.look(m.Name)
		f.Req = m.Req
		return []wire.Message{f}
	case wire.Find:
		return []wire.Message{wire.Here{Req: m.Req}}
	case wire.Offer:
		return []wire.Message{wire.Confirmed{Req: m.Req, Code: wire.CodeFull}}
	case wire.List:
		return []wire.Message{wire.Listed{Req: m.Req}}
	case wire.PingReq:
		return []wire.Message{wire.PingReqAck{Req: m.Req, Alive: true}}
	case wire.Put, wire.PutMore:
		return []wire.Message{wire.PutAck{Code: wire.CodeFull}}
	case wire.Get, wire.Blocks:
		if p.mute {
			return nil
		}
		return []wire.Message{wire.Fail{Code: wire.CodeNotFound}}
	}
	return nil
}

// pong answers pings, and agrees with whatever view they have.
func (p *puppet) pong() {
	buf := make([]byte, 2*crypto.DatagramSize)
	for {
		n, from, err := p.packets.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of an earlier answer
		}
		noise, body, ok := p.config.Pings.Open(buf[:n], time.Now())
		if !ok {
			continue
		}
		ping, err := wire.ParsePing(body)
		if err != nil || ping.Ack {
			continue
		}
		ping.Ack, ping.Said, ping.Mine, ping.Yours = true, wire.SaidNothing, puppetIncarnation, ping.Mine
		var text [crypto.PingBodySize]byte
		ping.Append(text[:0])
		if answer, err := p.config.Pings.Seal(nil, noise, &text, time.Now()); err == nil {
			p.packets.WriteTo(answer, from) // an error is a lost answer
		}
	}
}
