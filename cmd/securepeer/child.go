package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a command whose output is put. It begins to run with the first
// Read, which gives io.EOF only if it has ended with 0 and all that it has
// started has closed its output; if it fails, that is not waited for. Standard input and
// standard error are this program's.
type child struct {
	cmd   *exec.Cmd
	group bool // it leads a group of its own

	interrupts *interrupts
	forget     func() // by interrupts

	mu     sync.Mutex
	out    *os.File // nil: it does not run yet
	closed bool
	whole  bool // it has ended with 0, and all that it wrote is read

	ended chan struct{} // closed when it has ended
	err   error         // how it has ended
}

// killAfter is how long a child that was told to end has for that.
const killAfter = endWait / 2

// newChild has the command share this program's group if the terminal is
// theirs: it may ask for a password there, and Ctrl-C and Ctrl-Z reach both.
// Else it has a group of its own, which is ended as a whole.
func (a *app) newChild(words []string) *child {
	c := &child{cmd: exec.Command(words[0], words[1:]...), group: !inForeground(), ended: make(chan struct{}), interrupts: &a.interrupts}
	c.cmd.Stdin, c.cmd.Stderr = a.in, a.err
	if c.group {
		c.cmd.SysProcAttr = ownGroup()
	}
	return c
}

// inForeground reports whether a terminal sends its signals to this program.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close() // read only
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func (c *child) Read(p []byte) (int, error) {
	out, err := c.running()
	if err != nil {
		return 0, c.failed(err)
	}
	n, err := out.Read(p)
	if err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	<-c.ended // a command that has closed its output may still fail
	if c.err != nil {
		return n, c.failed(c.err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = true
	return n, io.EOF
}

// running returns the command's output, and starts it if it does not run.
func (c *child) running() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, os.ErrClosed
	case c.out != nil:
		return c.out, nil
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout = in
	c.forget, err = c.interrupts.leaves(func() (func(), error) {
		return func() { c.signal(syscall.SIGKILL) }, c.cmd.Start()
	})
	in.Close() // the command has its own
	if err != nil {
		out.Close()
		return nil, err
	}
	c.out = out
	go func() { // ends with the command, for which Close waits
		if c.err = c.cmd.Wait(); c.err != nil {
			out.SetReadDeadline(time.Unix(1, 0)) // what it has started may hold its output for ever
		}
		close(c.ended)
	}()
	return out, nil
}

func (c *child) failed(err error) error {
	var exit *exec.ExitError
	var start *exec.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGINT:
		return errInterrupted // the terminal's Ctrl-C reached it first
	case errors.As(err, &start):
		err = start.Err
	}
	if errors.As(err, &file) { // that the kernel calls it fork/exec says nothing to a user
		err = file.Err
	}
	return &fault{code: exitCommand, err: fmt.Errorf("%s: %w: nothing is stored", name(c.cmd.Args[0]), err)}
}

// Close ends the command, and what it has started, unless its output was read
// to the end, and waits for it. It may be called while another goroutine reads.
func (c *child) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.out == nil {
		return nil
	}
	defer c.out.Close() // read only
	defer c.forget()
	if c.whole {
		return nil
	}
	c.signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(killAfter):
	}
	c.signal(syscall.SIGKILL)
	<-c.ended
	return nil
}

// signal signals the command, and what it has started where a group tells that
// from others.
func (c *child) signal(s syscall.Signal) {
	if c.group {
		syscall.Kill(-c.cmd.Process.Pid, s) // fails if none of them is left
		return
	}
	c.cmd.Process.Signal(s) // likewise
}
