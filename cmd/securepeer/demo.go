package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"securepeer/keys"
)

// How long a demo may take before it is called a failure: several times what
// it needs.
const (
	demoTime      = time.Minute
	demoIntervals = 30
)

// minInterval is what a machine keeps up with.
const minInterval = 50 * time.Millisecond

// demoOptions are the flags of demo.
type demoOptions struct {
	classic  bool
	keep     bool
	seed     uint64
	interval time.Duration
}

func demoCommand(a *app) *cobra.Command {
	var opt demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a ring at work, on this machine alone",
		Long: `Demo runs a ring of real peers on this machine, each a process of its own with
a new key, in a temporary folder that is gone afterwards. It stores files, kills
peers, fetches everything back, has intruders try their luck, and ends with a
table of what was checked. Exit code 0 says that all of it held.

With --classic it is the classic ring instead: seven peers of a ring of 256, and
what each of them prints when peers join, quit and die, and when files are
stored and requested.`,
		GroupID: groupRing,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.classic && (opt.keep || cmd.Flags().Changed("seed")) {
				return usagef("--classic goes with neither --keep nor --seed")
			}
			if opt.interval != 0 && opt.interval < minInterval {
				return usagef("--interval is at least %v", minInterval)
			}
			if !cmd.Flags().Changed("seed") {
				opt.seed = rand.Uint64N(1e6)
			}
			if opt.interval == 0 {
				opt.interval = keys.DefaultInterval
				if opt.classic {
					opt.interval = classicInterval
				}
			}
			return a.demo(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.classic, "classic", false, "show the classic ring instead")
	flags.BoolVar(&opt.keep, "keep", false, "leave the ring up until Ctrl-C, and say how to talk to it")
	flags.Uint64Var(&opt.seed, "seed", 0, "`NUMBER` that the files' content is made from; 0: at random")
	addDuration(flags, &opt.interval, "interval", "time between pings (default: 1s, with --classic 3s)")
	return cmd
}

// demo shows what was asked for. Whatever happens it leaves no process and no
// file behind.
func (a *app) demo(ctx context.Context, opt demoOptions) error {
	ctx, stop := a.catchAll(ctx)
	defer stop()
	if opt.classic {
		return a.classic(ctx, opt.interval)
	}
	return a.story(ctx, opt)
}

// limited is ctx for as long as a demo may take.
func limited(ctx context.Context, interval time.Duration) (context.Context, context.CancelFunc) {
	limit := demoTime + demoIntervals*interval
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo was not through after %v", limit))
}

// catchAll ends the context with everything that would otherwise end the
// program before it has cleaned up: a pipe that nobody reads any more. Signals
// end it already, and where they find it waiting for a reader that stalls, or
// come twice, what stages leave is removed without it.
func (c *console) catchAll(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	// Its write fails instead: SIGPIPE comes for broken sockets as well.
	signal.Ignore(syscall.SIGPIPE)
	c.out = bufio.NewWriter(listened{c.out, cancel})
	return ctx, func() { cancel(nil) }
}

// listened ends a demo when what it says reaches nobody.
type listened struct {
	out    *bufio.Writer
	cancel context.CancelCauseFunc
}

func (l listened) Write(p []byte) (int, error) {
	n, err := l.out.Write(p)
	if err == nil {
		err = l.out.Flush()
	}
	if err != nil {
		l.cancel(errInterrupted)
	}
	return n, err
}

// judge prints the table of a demo that got as far as err, and returns what
// the demo ends with.
func (c *console) judge(all checks, err error) error {
	if errors.Is(err, errInterrupted) {
		return errInterrupted // where it was does not matter to who did it
	}
	c.printf("\n")
	all.write(c.out)
	failed := all.failed()
	switch {
	case err != nil:
		return &fault{code: exitOther, err: fmt.Errorf("the demo could not go on: %w", err)}
	case len(failed) > 0:
		return &fault{code: exitOther, err: fmt.Errorf("%d of %d checks failed: %s", len(failed), len(all), strings.Join(failed, "; "))}
	}
	return nil
}
