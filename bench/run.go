package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	// copies is how many the ring makes of a file: the roster's default.
	copies = 3
	// smallSize is a file whose bytes cost nothing next to all else.
	smallSize = 10 << 10
	// smallRuns is how often that is moved in a round.
	smallRuns = 5
)

// bench is one run of all.
type bench struct {
	options
	dir     string
	program string // securepeer
	large   string // the files that are moved
	small   string
	tls     *baseline
}

// run builds both sides and measures everything.
func (b *bench) run(ctx context.Context) (*report, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	defer b.tls.server.end()
	r := newReport(b.options)
	for range b.rounds {
		if err := b.round(ctx, r); err != nil {
			return nil, err
		}
	}
	ratio, err := handshake(ctx)
	if err != nil {
		return nil, err
	}
	r.add(handshakeRatio, ratio)
	return r, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	b.large, b.small = filepath.Join(b.dir, "large"), filepath.Join(b.dir, "small")
	if err := errors.Join(writeRandom(b.large, int64(b.size)), writeRandom(b.small, smallSize)); err != nil {
		return err
	}
	b.program = filepath.Join(b.dir, "securepeer")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "securepeer/cmd/securepeer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building securepeer: %w: %s", err, bytes.TrimSpace(out))
	}
	b.tls, err = startBaseline(b.dir)
	return err
}

// writeRandom makes a file that nothing can compress.
func writeRandom(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, f.Close())
}

// round runs each side in a new ring, which goes with its files, so that every
// round finds the same free disk. The small files come first: they wake up
// what only the first run needs.
func (b *bench) round(ctx context.Context, r *report) (err error) {
	dir := filepath.Join(b.dir, "ring")
	p := &peers{program: b.program}
	defer func() {
		p.end()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := p.start(ctx, dir); err != nil {
		return err
	}
	if err := b.smallRuns(ctx, r, p); err != nil {
		return err
	}
	name, err := p.name(ctx)
	if err != nil {
		return err
	}
	if err := b.comparePut(ctx, r, p, name); err != nil {
		return err
	}
	if err := b.compareGet(ctx, r, p, name); err != nil {
		return err
	}
	return r.peaks(p.daemons, b.tls.server)
}

// comparePut compares a put with as many TLS copies: so both take the same
// memory for their files. That is what the larger part of a copy's work can
// go to, in a virtual machine that gives free memory back to its host.
func (b *bench) comparePut(ctx context.Context, r *report, p *peers, name string) error {
	tls, err := b.copyTLS(ctx, b.large, copies)
	if err != nil {
		return err
	}
	put, err := p.put(ctx, p.outsider, b.large, name)
	if err != nil {
		return err
	}
	another, err := p.name(ctx)
	if err != nil {
		return err
	}
	local, err := p.put(ctx, p.holder, b.large, another)
	if err != nil {
		return err
	}
	r.add(putWork, seconds(put.cpu)/seconds(tls.cpu))
	r.add(localWork, seconds(local.cpu)/seconds(tls.cpu))
	r.add(putSpeed, seconds(tls.wall)/seconds(put.wall))
	r.spent("3 TLS copies", tls)
	r.spent("put of 3 copies", put)
	r.spent("put at a holder", local)
	r.peak("the TLS copy", tls.peak)
	r.peak("a command", max(put.peak, local.peak))
	return nil
}

// compareGet compares gets with a TLS copy. One get is through a peer that has
// to ask others, one through a holder.
func (b *bench) compareGet(ctx context.Context, r *report, p *peers, name string) error {
	tls, err := b.copyTLS(ctx, b.large, 1)
	if err != nil {
		return err
	}
	get, err := b.get(ctx, p, p.outsider, name, b.large)
	if err != nil {
		return err
	}
	local, err := b.get(ctx, p, p.holder, name, b.large)
	if err != nil {
		return err
	}
	r.add(getSpeed, seconds(tls.wall)/seconds(get.wall))
	r.add(getWork, seconds(get.cpu)/seconds(tls.cpu))
	r.add(localSpeed, seconds(tls.wall)/seconds(local.wall))
	r.spent("TLS copy", tls)
	r.spent("get", get)
	r.spent("get at a holder", local)
	r.peak("a command", max(get.peak, local.peak))
	return nil
}

// smallRuns is the same with a file that is all latency.
func (b *bench) smallRuns(ctx context.Context, r *report, p *peers) error {
	for range smallRuns {
		name, err := p.name(ctx)
		if err != nil {
			return err
		}
		tls, err := b.copyTLS(ctx, b.small, 1)
		if err != nil {
			return err
		}
		put, err := p.put(ctx, p.outsider, b.small, name)
		if err != nil {
			return err
		}
		get, err := b.get(ctx, p, p.outsider, name, b.small)
		if err != nil {
			return err
		}
		r.add(smallPut, seconds(put.wall)/seconds(tls.wall))
		r.add(smallGet, seconds(get.wall)/seconds(tls.wall))
		r.spent("TLS copy, 10 KiB", tls)
		r.spent("get, 10 KiB", get)
		r.spent("put, 10 KiB", put)
	}
	return nil
}

func (b *bench) target(i int) string { return filepath.Join(b.dir, fmt.Sprintf("copy-%d", i)) }

// copyTLS is the baseline: copies of a file, one after the other. What they
// cost is added up.
func (b *bench) copyTLS(ctx context.Context, file string, copies int) (sum cost, err error) {
	for i := range copies {
		c, err := b.tls.fetch(ctx, file, b.target(i))
		if err != nil {
			return sum, err
		}
		sum = cost{sum.wall + c.wall, sum.cpu + c.cpu, max(sum.peak, c.peak)}
	}
	for i := range copies {
		if err := compare(b.target(i), file); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// get fetches what was stored from file.
func (b *bench) get(ctx context.Context, p *peers, at, name, file string) (cost, error) {
	c, err := p.get(ctx, at, name, b.target(0))
	if err != nil {
		return c, err
	}
	return c, compare(b.target(0), file)
}

// compare checks what was copied against its source, and removes it: its
// pages need not reach the disk in the next run's time.
func compare(target, file string) error {
	want, err := os.Open(file)
	if err != nil {
		return err
	}
	defer want.Close() // read only
	got, err := os.Open(target)
	if err != nil {
		return err
	}
	defer got.Close() // read only
	if err := sameBytes(got, want); err != nil {
		return fmt.Errorf("comparing %s with %s: %w", target, file, err)
	}
	return os.Remove(target)
}

var errDiffer = errors.New("they differ")

func sameBytes(got, want io.Reader) error {
	a, b := make([]byte, copyBuffer), make([]byte, copyBuffer)
	for {
		n, gotErr := io.ReadFull(got, a)
		m, wantErr := io.ReadFull(want, b)
		switch {
		case !bytes.Equal(a[:n], b[:m]):
			return errDiffer
		case gotErr == nil && wantErr == nil:
			continue
		case errors.Is(gotErr, io.EOF) && errors.Is(wantErr, io.EOF), errors.Is(gotErr, io.ErrUnexpectedEOF) && errors.Is(wantErr, io.ErrUnexpectedEOF):
			return nil
		}
		return errors.Join(errDiffer, gotErr, wantErr)
	}
}
