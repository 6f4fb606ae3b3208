// Securepeer runs a peer of a private, encrypted file ring, and is the
// command with which one uses it: see securepeer --help.
package main

import (
	"errors"
	"os"
)

func main() {
	os.Exit(int(run(os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr))))
}

// run does what the arguments say and returns what the program ends with.
func run(args []string, c *console) exitCode {
	ctx, stop := c.interruptible()
	defer stop()
	defer c.drain()
	return conclude(interruption(ctx, execute(ctx, args, c)), c)
}

// conclude hands the results on, tells the error, and how things stand if it is
// an interruption, and returns its exit code.
func conclude(err error, c *console) exitCode {
	if flushErr := c.flush(); err == nil {
		err = flushErr
	}
	if wasInterrupted(err) {
		err = c.interrupts.explain(err)
	}
	if t := told(0); err != nil && !errors.As(err, &t) {
		c.fail(err)
	}
	return exitOf(err)
}
