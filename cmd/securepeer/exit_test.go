package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"securepeer/internal/control"
)

// What scripts branch on never changes.
func TestExitCodes(t *testing.T) {
	remote := func(code control.Code) error {
		return fmt.Errorf("asking: %w", &control.Error{Code: code, Message: "no"})
	}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{remote(control.CodeInternal), 1},
		{remote("of a later version"), 1},
		{usagef("wrong"), 2},
		{remote(control.CodeBadRequest), 2},
		{remote(control.CodeBadName), 2},
		{remote(control.CodeBadRoster), 2},
		{told(exitPartial), 3},
		{remote(control.CodeNotFound), 4},
		{remote(control.CodeNoPeer), 4},
		{remote(control.CodeNotRunning), 5},
		{remote(control.CodeNotReady), 5},
		{remote(control.CodeUnreachable), 5},
		{remote(control.CodeUnavailable), 5},
		{remote(control.CodeInterrupted), 5},
		{remote(control.CodeRefused), 6},
		{remote(control.CodeTaken), 6},
		{remote(control.CodeIntegrity), 7},
		{remote(control.CodeTimeout), 8},
		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), 8},
		{remote(control.CodeNoSpace), 9},
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 9},
		{errExists("x"), 10},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EEXIST}, 10},
		{fmt.Errorf("putting: %w", errInterrupted), 130},
		{fmt.Errorf("putting: %w", interrupted(syscall.SIGTERM)), 143},
		{fmt.Errorf("putting: %w", interrupted(syscall.SIGHUP)), 129},
		{remote(control.CodeCanceled), 130},
		{fmt.Errorf("getting: %w", context.Canceled), 130},
	} {
		if got := int(exitOf(test.err)); got != test.want {
			t.Errorf("exitOf(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}

// Every code that the program can end with is in its help, once.
func TestExitTableIsComplete(t *testing.T) {
	listed := make(map[exitCode]int)
	for _, e := range exitTable {
		listed[e.code]++
	}
	for _, code := range controlExits {
		if listed[code] != 1 {
			t.Errorf("exit code %d is listed %d times, want once", code, listed[code])
		}
	}
	if len(listed) != 15 {
		t.Errorf("%d codes are listed, want 0 to 11, 129, 130 and 143", len(listed))
	}
}
