// Securepeer runs a peer of a private, encrypted file ring, and is the
// command with which one uses it: see securepeer --help.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(int(run(os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr))))
}

// run does what the arguments say and returns what the program ends with.
func run(args []string, c *console) exitCode {
	ctx, stop := interruptible()
	defer stop()
	defer c.drain()
	return conclude(execute(ctx, args, c), c)
}

// conclude hands the results on, tells the error, and returns its exit code.
func conclude(err error, c *console) exitCode {
	if flushErr := c.flush(); err == nil {
		err = flushErr
	}
	if t := told(0); err != nil && !errors.As(err, &t) {
		c.fail(err)
	}
	return exitOf(err)
}

// interruptible returns a context that the first SIGINT or SIGTERM ends, with
// errInterrupted; the second one ends the program at once.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2) // both, even if they come together
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with the signal that ends the program, or with stop
		for n := 0; ; n++ {
			select {
			case <-signals:
			case <-done:
				return
			}
			if n > 0 {
				os.Exit(int(exitInterrupted))
			}
			cancel(errInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
	}
}
