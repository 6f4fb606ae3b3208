package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/internal/store"
	"securepeer/keys"
	"securepeer/node"
)

// startOptions are the flags of start, and what init and join add.
type startOptions struct {
	listen    string
	contact   string // the member to ask first
	interval  time.Duration
	shortcuts bool
	anew      bool     // the disk was mounted anew since a sync failed
	requests  bool     // print ping requests
	responses bool     // print ping responses
	debug     bool     // print who comes and goes, and log in detail
	quiet     []string // print nothing before these are the first successors
}

// shows reports whether sentences of that detail are printed.
func (o startOptions) shows(d detail) bool {
	switch d {
	case pingRequests:
		return o.requests
	case pingResponses:
		return o.responses
	case debugging:
		return o.debug
	}
	return true
}

func startCommand(a *app) *cobra.Command {
	var opt startOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run this machine's peer, in the foreground",
		Long: `Start runs a peer with the key and the roster in its folder, until Ctrl-C or
SIGTERM, securepeer stop or securepeer leave. It says on standard error when it
is in the ring; what happens in the ring goes to standard output.

On standard input it takes the classic ring's commands: "Store NNNN" puts
./NNNN.pdf, "Request NNNN" fetches ./received_NNNN.pdf, "Quit" leaves the ring.
SIGHUP has it read the roster again.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.start(cmd.Context(), opt) },
	}
	addStartFlags(cmd, a, &opt)
	cmd.Flags().StringVar(&opt.contact, "join", "", "the `MEMBER` to ask first (default: any)")
	cmd.Flags().BoolVar(&opt.anew, "disk-mounted-anew", false, "after a failed sync: its file system was unmounted and mounted again since")
	addDuration(cmd.Flags(), &opt.interval, "interval", "time between pings (default: the roster's)")
	return cmd
}

// addStartFlags gives a command what start, init and join have in common.
func addStartFlags(cmd *cobra.Command, a *app, opt *startOptions) {
	flags := cmd.Flags()
	flags.StringVar(&a.roster, "roster", "", "roster `FILE` (default DIR/roster)")
	cmd.MarkFlagFilename("roster")
	flags.StringVar(&opt.listen, "listen", "", "`HOST:PORT` to listen on, TCP and UDP (default: the roster's)")
	flags.BoolVar(&opt.shortcuts, "shortcuts", false, "with route=walk, skip to the second successor where that is right")
	flags.BoolVar(&opt.requests, "show-ping-requests", false, "print pings that are sent and received")
	flags.BoolVar(&opt.responses, "show-ping-responses", false, "print pings that are answered")
	flags.BoolVar(&opt.debug, "debug", false, "print who comes and goes, and log in detail")
}

// peer is the peer that start runs, and what runs with it.
type peer struct {
	*app
	node   *node.Node
	self   keys.Member
	opt    startOptions
	saving saving
	logger *slog.Logger

	said sync.Mutex // one sentence at a time
}

// say prints a sentence, at once.
func (p *peer) say(text string) {
	p.said.Lock()
	defer p.said.Unlock()
	p.printf("%s\n", text)
	p.flush() // an outlet never fails
}

// start runs a peer until ctx ends or it leaves. Its life does not hang on who
// reads its words: a reader that has gone, or stalls, loses some.
func (a *app) start(ctx context.Context, opt startOptions) error {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTTOU) // writes fail instead, or are done all the same
	a.neverWait()
	a.interrupts.hangups.Store(true)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p, err := a.newPeer(ctx, stop, opt)
	if err != nil {
		return err
	}
	if p == nil {
		a.notef("stopped: it was not in the ring yet")
		return nil
	}
	listener, err := control.Listen(a.dir)
	if err != nil {
		return errors.Join(err, p.node.Close())
	}
	server := &control.Server{Node: p.node, Reload: p.reload, Stop: stop, Logger: p.logger}
	events := p.node.Watch(context.WithoutCancel(ctx)) // until the node ends, to its last event

	var running sync.WaitGroup
	var serveErr error
	a.interrupts.hold() // until the program ends: it says goodbye, lets disks finish, and has outlets to drain
	running.Go(func() { // ends with ctx
		if serveErr = server.Serve(ctx, listener); serveErr != nil {
			stop()
		}
	})
	running.Go(func() { p.print(events) })       // ends with the node
	running.Go(func() { p.announce() })          // ends when the node is ready, or ends
	running.Go(func() { p.reloadOnHangup(ctx) }) // ends with ctx
	go p.obey(ctx, a.in)                         // waits for the user's next line, which may never come
	err = p.node.Run(ctx)
	left := ctx.Err() == nil // nobody stopped it
	stop()
	running.Wait()
	if err = errors.Join(err, serveErr); err != nil {
		return err
	}
	if left {
		p.notef("left: the others have the files")
	} else {
		p.notef("stopped: the files stay here")
	}
	return nil
}

// newPeer makes the peer from what is in its folder: nil, if it was stopped
// while it waited for the address to listen on.
func (a *app) newPeer(ctx context.Context, stop func(), opt startOptions) (*peer, error) {
	// A peer in the background of a terminal reads nothing rather than being
	// stopped for trying.
	signal.Ignore(syscall.SIGTTIN)
	if err := a.checkFolder(); err != nil {
		return nil, err
	}
	secret, roster, self, err := a.identity()
	if err != nil {
		return nil, err
	}
	if opt.contact != "" {
		contact, err := a.member(roster, opt.contact)
		if err != nil {
			return nil, err
		}
		opt.contact = contact.Name
	}
	if err := checkListen(opt.listen); err != nil {
		return nil, err
	}
	level := slog.LevelWarn
	if opt.debug {
		level = slog.LevelDebug
	}
	p := &peer{app: a, self: self, opt: opt}
	p.logger = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
	wait := addressWait{app: a, stop: stop}
	p.node, err = node.New(node.Config{
		Secret: secret, Roster: roster, Dir: a.dir,
		Listen: opt.listen, Contact: opt.contact, Interval: opt.interval, Shortcuts: opt.shortcuts,
		MountedAnew: opt.anew,
		Logger:      p.logger, NotYet: func(err error) bool { return wait.again(ctx, err) },
	})
	wait.end()
	if err != nil && ctx.Err() != nil {
		return nil, nil
	}
	if err != nil {
		return nil, a.notStarted(err, cmp.Or(opt.listen, self.Addr))
	}
	return p, nil
}

// checkListen refuses an address at which nobody could listen; "" is the
// roster's.
func checkListen(addr string) error {
	if addr == "" {
		return nil
	}
	if err := keys.CheckListen(addr); err != nil {
		return usagef("--listen %v", err)
	}
	return nil
}

// How often start looks whether this machine has the address to listen on, and
// says that it waits for it.
const (
	addressAgain = time.Second
	addressSaid  = time.Minute
)

// listenElsewhere is what helps who can't listen at an address.
const listenElsewhere = "--listen HOST:PORT chooses another; the others find it only if the roster's address leads there"

// addressWait is a start that waits: while a machine boots, it may not have its
// address yet, or not reach its name server.
type addressWait struct {
	*app
	stop    func()
	said    time.Time
	answers *control.Waiting // for the commands that find no peer yet; nil: nobody
}

// again is for [node.Config].
func (w *addressWait) again(ctx context.Context, err error) bool {
	if w.answers != nil {
		w.answers.Because(err)
	} else if answers, failed := control.Wait(w.dir, err, w.stop); failed == nil { // else the peer itself will meet that
		w.answers = answers
	}
	if ctx.Err() == nil && (w.said.IsZero() || time.Since(w.said) >= addressSaid) {
		w.notef("waiting: %v", err)
		if w.said.IsZero() {
			w.hintf("%s", listenElsewhere)
		}
		w.said = time.Now()
	}
	return pause(ctx, addressAgain)
}

func (w *addressWait) end() {
	if w.answers != nil {
		w.answers.End()
	}
}

// notStarted says why there is no peer, and what to do.
func (a *app) notStarted(err error, listen string) error {
	switch {
	case errors.Is(err, store.ErrInUse):
		return &fault{exitOther, "a peer runs here already: securepeer status, securepeer stop", err}
	case errors.Is(err, store.ErrFormat):
		return &fault{exitOther, fmt.Sprintf("mv %[1]s %[1]s.old, then start: what other peers hold of it comes back by itself", filepath.Join(a.dir, "store")), err}
	case errors.Is(err, syscall.EADDRINUSE):
		return &fault{exitOther, listenElsewhere, fmt.Errorf("listening on %s: another program, or another peer, has that port", listen)}
	}
	return err
}

// identity reads key and roster, and finds this machine's line.
func (a *app) identity() (*keys.Secret, *keys.Roster, keys.Member, error) {
	secret, err := a.secret()
	if err != nil {
		return nil, nil, keys.Member{}, err
	}
	roster, err := a.loadRoster()
	if err != nil {
		return nil, nil, keys.Member{}, err
	}
	self, ok := roster.ByKey(secret.Public().Noise)
	if !ok {
		return nil, nil, self, &fault{exitUsage, "securepeer roster add NAME " + secret.Public().String() + " HOST:PORT",
			fmt.Errorf("%s has no line for this machine's key, %s", a.rosterPath(), a.keyPath())}
	}
	return secret, roster, self, nil
}

// announce says when the peer is in the ring, and if it is alone there.
func (p *peer) announce() {
	select {
	case <-p.node.Ready():
	case <-p.node.Done():
		return
	}
	status, err := p.node.Status(context.Background())
	if err != nil { // it has ended
		return
	}
	p.notef("ready: %s is peer %d of ring %s, on %s", name(status.Name), status.ID, name(status.Ring), status.Listen)
	for _, warning := range status.Warnings {
		p.notef("warning: %s", clean(warning))
	}
	if status.Store.Problem != "" {
		p.notef("warning: it takes no writes: %s", clean(status.Store.Problem))
	}
	if status.Store.Doubt != "" {
		p.notef("warning: durability of the store is unknown: %s", doubted(status.Store.Doubt))
	}
	if alone(status) {
		p.notef("no other member answers: securepeer status shows why")
	}
}

// alone reports whether there are other members and none of them is there.
func alone(s node.Status) bool {
	there := func(m node.PeerStatus) bool { return !m.Self && (m.InRing || m.Linked) }
	return len(s.Peers) > 1 && !slices.ContainsFunc(s.Peers, there)
}

// reload takes over the roster file; if that is invalid the old one stays.
func (p *peer) reload() error {
	return p.node.ReloadFrom(func() (*keys.Roster, error) { return keys.LoadRoster(p.rosterPath()) })
}

func (p *peer) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1) // one that waits stands for all
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
		case <-ctx.Done():
			return
		}
		if err := p.reload(); err != nil {
			p.fail(&fault{exitUsage, "the old roster stays in force; correct the file and reload again", err})
			continue
		}
		p.notef("%s is in force", p.rosterPath())
	}
}

// print prints what happens, as far as it is to be shown, until the node ends.
func (p *peer) print(events <-chan node.Event) {
	quiet := len(p.opt.quiet) > 0
	var from time.Time // what happened before is not shown
	for e := range events {
		if quiet && p.settled() {
			quiet, from = false, time.Now()
		}
		text, d, ok := sentence(control.Event{Event: e})
		if !ok || quiet || e.Time.Before(from) || !p.opt.shows(d) {
			continue
		}
		if e.Kind == "file-received" && !p.saving.wait(p.node.Done(), e.Name) {
			continue // its error is told
		}
		p.say(text)
	}
}

// settled reports whether the first two successors are those that the user
// named.
func (p *peer) settled() bool {
	status, err := p.node.Status(context.Background())
	if err != nil || len(status.Successors) < len(p.opt.quiet) {
		return false
	}
	for i, want := range p.opt.quiet {
		if status.Successors[i] != want {
			return false
		}
	}
	return true
}
