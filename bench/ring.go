package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/wire"
)

const (
	// members is large enough that somebody holds no copy of a file.
	members = 5
	// readyTime is how long the ring may take to be whole.
	readyTime = 30 * time.Second
	askEvery  = 50 * time.Millisecond
	// portTries is how often a port is looked for that is free for TCP and UDP.
	portTries = 100
	// nameTries bounds the search for a name that lies where it is wanted: one
	// of five does.
	nameTries = 1000
)

// peers is the ring: one daemon a member, with default settings.
type peers struct {
	program string
	daemons []*daemon
	dirs    map[string]string // of each member's key, roster and files
	clients map[string]*control.Client

	// A file whose name is from names is held by all members but two.
	holder   string // one of those who hold it
	outsider string // one of those who don't
	holders  []string
	asked    int // names looked at
}

// start makes dir, keys, a roster and a folder for each peer, and starts the
// peers. The caller ends them, also after an error.
func (p *peers) start(ctx context.Context, dir string) error {
	roster, err := keys.NewRoster("bench")
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	p.dirs, p.clients = make(map[string]string), make(map[string]*control.Client)
	for id := range wire.ID(members) {
		if err := p.add(roster, id, dir); err != nil {
			return err
		}
	}
	for _, m := range roster.Members {
		if err := keys.WriteRoster(filepath.Join(p.dirs[m.Name], "roster"), roster); err != nil {
			return err
		}
		d, err := launch(nil, p.program, "--dir", p.dirs[m.Name], "start")
		if err != nil {
			return err
		}
		p.daemons = append(p.daemons, d)
	}
	if err := p.whole(ctx); err != nil {
		return err
	}
	return p.cast(ctx, roster)
}

// end kills the peers and waits for their end.
func (p *peers) end() {
	for _, d := range p.daemons {
		d.end()
	}
}

// add makes a member, at its fifth of the ring.
func (p *peers) add(roster *keys.Roster, id wire.ID, dir string) error {
	name := fmt.Sprintf("peer%d", id+1)
	p.dirs[name] = filepath.Join(dir, name)
	p.clients[name] = control.New(p.dirs[name])
	if err := os.Mkdir(p.dirs[name], 0o700); err != nil {
		return err
	}
	secret, err := keys.Generate()
	if err != nil {
		return err
	}
	if err := keys.WriteKeyFile(filepath.Join(p.dirs[name], "key"), secret); err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	return roster.Add(keys.Member{ID: id, Name: name, Key: secret.Public(), Addr: addr,
		Pos: wire.Pos(id) * (math.MaxUint64 / members), HasPos: true})
}

// freeAddr finds a port of loopback that nobody has, for TCP and UDP.
func freeAddr() (string, error) {
	var all []error
	for range portTries {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := tcp.Addr().String()
		udp, err := net.ListenPacket("udp", addr)
		tcp.Close() // nothing was accepted
		if err == nil {
			return addr, udp.Close()
		}
		all = append(all, err)
	}
	return "", errors.Join(all...)
}

// whole waits until all peers see the same ring of all.
func (p *peers) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	var last error
	for {
		views := make(map[string]int)
		for _, client := range p.clients {
			status, err := client.Status(ctx)
			switch {
			case err != nil:
				last = err
			case status.Ready && !status.Behind && len(status.Circle) == members:
				views[status.View]++
			default:
				last = fmt.Errorf("%s sees %v", status.Name, status.Circle)
			}
		}
		for _, n := range views {
			if n == members {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the ring: %w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// cast gives the parts to the peers, as the first name has it.
func (p *peers) cast(ctx context.Context, roster *keys.Roster) error {
	first, err := p.lookup(ctx, roster.Members[0].Name, "bench-0")
	if err != nil {
		return err
	}
	p.holders, p.holder = first, first[0]
	for _, m := range roster.Members {
		if !slices.Contains(first, m.Name) {
			p.outsider = m.Name
			return nil
		}
	}
	return fmt.Errorf("all of %v hold a file: there is nobody to get it over a link", first)
}

func (p *peers) lookup(ctx context.Context, at, name string) ([]string, error) {
	l, err := p.clients[at].Lookup(ctx, name)
	if err == nil && len(l.Holders) == 0 {
		err = fmt.Errorf("%s knows no holder of %s", at, name)
	}
	return l.Holders, err
}

// name returns a new name of a file with the chosen holders.
func (p *peers) name(ctx context.Context) (string, error) {
	for range nameTries {
		name := fmt.Sprintf("bench-%d", p.asked)
		p.asked++
		holders, err := p.lookup(ctx, p.outsider, name)
		if err != nil {
			return "", err
		}
		if slices.Equal(holders, p.holders) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no name of %d lies at %v", nameTries, p.holders)
}

// put stores a file from a peer.
func (p *peers) put(ctx context.Context, at, file, name string) (cost, error) {
	// All copies or an error: fewer end with a code of their own.
	return spend(ctx, p.daemons, p.program, "--dir", p.dirs[at], "put", file, "--name", name)
}

// get fetches a file through a peer.
func (p *peers) get(ctx context.Context, at, name, target string) (cost, error) {
	return spend(ctx, p.daemons, p.program, "--dir", p.dirs[at], "get", name, "--output", target)
}
