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
	// smallRounds: one takes little, and is little to go by.
	smallRounds = 15
)

// bench is one run of all.
type bench struct {
	options
	dir   string
	large string // the files that are moved
	small string

	tls   *baseline
	peers peers
	name  string // of the large file in the ring, for get
}

// end ends all processes.
func (b *bench) end() {
	daemons := b.peers.daemons
	if b.tls != nil {
		daemons = append(daemons, b.tls.daemons...)
	}
	for _, d := range daemons {
		d.end()
	}
}

// prepare builds and starts both sides, and runs each once: what a first run
// costs more than others is nobody's.
func (b *bench) prepare(ctx context.Context) (err error) {
	b.large, b.small = filepath.Join(b.dir, "large"), filepath.Join(b.dir, "small")
	if err := errors.Join(writeRandom(b.large, b.size.bytes()), writeRandom(b.small, smallSize)); err != nil {
		return err
	}
	b.peers.program = filepath.Join(b.dir, "securepeer")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.peers.program, "securepeer/cmd/securepeer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building securepeer: %w: %s", err, bytes.TrimSpace(out))
	}
	if b.tls, err = startBaseline(b.dir); err != nil {
		return err
	}
	if err := b.peers.start(ctx, b.dir); err != nil {
		return err
	}
	if b.name, err = b.peers.name(ctx); err != nil {
		return err
	}
	if _, err := b.peers.put(ctx, b.peers.outsider, b.large, b.name); err != nil {
		return err
	}
	_, err = b.copyTLS(ctx, b.large)
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

// run measures everything.
func (b *bench) run(ctx context.Context) (*report, error) {
	r := newReport(b.options)
	for range b.rounds {
		if err := b.largeRound(ctx, r); err != nil {
			return nil, err
		}
	}
	for range smallRounds {
		if err := b.smallRound(ctx, r); err != nil {
			return nil, err
		}
	}
	for _, d := range b.peers.daemons {
		peak, err := d.peak()
		if err != nil {
			return nil, err
		}
		r.peak("a peer", peak)
	}
	peak, err := b.tls.daemons[0].peak()
	if err != nil {
		return nil, err
	}
	r.peak("the TLS copy", peak)
	ratio, err := handshake(ctx)
	if err != nil {
		return nil, err
	}
	r.add(handshakeRatio, ratio)
	return r, nil
}

// largeRound runs each side once; both get and put have a TLS copy beside
// them.
func (b *bench) largeRound(ctx context.Context, r *report) error {
	tls, err := b.copyTLS(ctx, b.large)
	if err != nil {
		return err
	}
	get, err := b.get(ctx, b.peers.outsider, b.name, b.large)
	if err != nil {
		return err
	}
	local, err := b.get(ctx, b.peers.holder, b.name, b.large)
	if err != nil {
		return err
	}
	again, err := b.copyTLS(ctx, b.large)
	if err != nil {
		return err
	}
	put, err := b.put(ctx, b.large)
	if err != nil {
		return err
	}
	r.add(getSpeed, seconds(tls.wall)/seconds(get.wall))
	r.add(getWork, seconds(get.cpu)/seconds(tls.cpu))
	r.add(localSpeed, seconds(tls.wall)/seconds(local.wall))
	r.add(putWork, seconds(put.cpu)/copies/seconds(again.cpu))
	r.add(putSpeed, seconds(again.wall)/seconds(put.wall))
	for _, c := range []cost{tls, again} {
		r.spent("TLS copy", c)
		r.peak("the TLS copy", c.peak)
	}
	r.spent("get", get)
	r.spent("get at a holder", local)
	r.spent("put", put)
	for _, c := range []cost{get, local, put} {
		r.peak("a command", c.peak)
	}
	return nil
}

// smallRound is the same with a file that is all latency.
func (b *bench) smallRound(ctx context.Context, r *report) error {
	name, err := b.peers.name(ctx)
	if err != nil {
		return err
	}
	put, err := b.peers.put(ctx, b.peers.outsider, b.small, name)
	if err != nil {
		return err
	}
	tls, err := b.copyTLS(ctx, b.small)
	if err != nil {
		return err
	}
	get, err := b.get(ctx, b.peers.outsider, name, b.small)
	if err != nil {
		return err
	}
	r.add(smallPut, seconds(put.wall)/seconds(tls.wall))
	r.add(smallGet, seconds(get.wall)/seconds(tls.wall))
	r.spent("TLS copy, 10 KiB", tls)
	r.spent("get, 10 KiB", get)
	r.spent("put, 10 KiB", put)
	return nil
}

func (b *bench) target() string { return filepath.Join(b.dir, "copy") }

// copyTLS is the baseline: one copy of a file.
func (b *bench) copyTLS(ctx context.Context, file string) (cost, error) {
	c, err := b.tls.fetch(ctx, file, b.target())
	if err != nil {
		return c, err
	}
	return c, b.compare(file)
}

// get fetches what was stored from file.
func (b *bench) get(ctx context.Context, at, name, file string) (cost, error) {
	c, err := b.peers.get(ctx, at, name, b.target())
	if err != nil {
		return c, err
	}
	return c, b.compare(file)
}

// put stores file under a new name: the same version again would be had
// cheaper.
func (b *bench) put(ctx context.Context, file string) (cost, error) {
	name, err := b.peers.name(ctx)
	if err != nil {
		return cost{}, err
	}
	return b.peers.put(ctx, b.peers.outsider, file, name)
}

// compare checks what was copied against its source, and removes it: its
// pages need not reach the disk in the next run's time.
func (b *bench) compare(file string) error {
	want, err := os.Open(file)
	if err != nil {
		return err
	}
	defer want.Close() // read only
	got, err := os.Open(b.target())
	if err != nil {
		return err
	}
	defer got.Close() // read only
	if err := sameBytes(got, want); err != nil {
		return fmt.Errorf("comparing %s with %s: %w", b.target(), file, err)
	}
	return os.Remove(b.target())
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
