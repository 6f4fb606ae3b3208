package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"securepeer/internal/control"
)

// exitCode is what the program ends with. The codes are part of its
// interface: scripts branch on them.
type exitCode int

const (
	exitOK          exitCode = 0
	exitOther       exitCode = 1
	exitUsage       exitCode = 2
	exitPartial     exitCode = 3
	exitNotFound    exitCode = 4
	exitUnavailable exitCode = 5
	exitRefused     exitCode = 6
	exitIntegrity   exitCode = 7
	exitTimeout     exitCode = 8
	exitNoSpace     exitCode = 9
	exitExists      exitCode = 10
	exitCommand     exitCode = 11

	// Behind 128 stands the signal.
	exitHangup      exitCode = 129
	exitInterrupted exitCode = 130
	exitTerminated  exitCode = 143
)

// exitTable is what the help and the documents say of them.
var exitTable = []struct {
	code    exitCode
	meaning string
}{
	{exitOK, "all of it was done"},
	{exitOther, "another failure"},
	{exitUsage, "wrong arguments, name, key file or roster"},
	{exitPartial, "partly done: fewer copies than wanted, only some of the files, or another peer must say so, too"},
	{exitNotFound, "no such file or peer"},
	{exitUnavailable, "not now: no peer runs here, somebody is silent, slow or catching up, or this machine lacks something"},
	{exitRefused, "refused: not this user, another member's file, or a member that is in the ring"},
	{exitIntegrity, "no holder has bytes that verify"},
	{exitTimeout, "it took too long"},
	{exitNoSpace, "no space left"},
	{exitExists, "it exists already, and is not overwritten"},
	{exitCommand, "the command of put --from-command failed, and nothing is stored"},
	{exitHangup, "ended by its terminal, which was closed (SIGHUP)"},
	{exitInterrupted, "interrupted (Ctrl-C)"},
	{exitTerminated, "ended by SIGTERM"},
}

// controlExits says what the peer's errors end the program with.
var controlExits = map[control.Code]exitCode{
	control.CodeInternal:    exitOther,
	control.CodeBadRequest:  exitUsage,
	control.CodeBadName:     exitUsage,
	control.CodeBadRoster:   exitUsage,
	control.CodeNotFound:    exitNotFound,
	control.CodeNoPeer:      exitNotFound,
	control.CodeNotRunning:  exitUnavailable,
	control.CodeNotReady:    exitUnavailable,
	control.CodeUnreachable: exitUnavailable,
	control.CodeUnavailable: exitUnavailable,
	control.CodeInterrupted: exitUnavailable,
	control.CodeRefused:     exitRefused,
	control.CodeTaken:       exitRefused,
	control.CodeStillThere:  exitRefused,
	control.CodeIntegrity:   exitIntegrity,
	control.CodeTimeout:     exitTimeout,
	control.CodeNoSpace:     exitNoSpace,
	control.CodeCanceled:    exitInterrupted,
}

// fault is an error that knows its exit code and, maybe, what to do.
type fault struct {
	code exitCode
	hint string
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// exitOf returns the exit code of an error.
func exitOf(err error) exitCode {
	var f *fault
	var t told
	var remote *control.Error
	var signal interrupted
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &t):
		return exitCode(t)
	case errors.As(err, &signal):
		return 128 + exitCode(signal)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &remote):
		if code, ok := controlExits[remote.Code]; ok {
			return code
		}
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return exitNoSpace
	case errors.Is(err, fs.ErrExist):
		return exitExists
	}
	return exitOther
}

// hintOf returns what to do about an error, or "".
func hintOf(err error) string {
	var f *fault
	var remote *control.Error
	switch {
	case errors.As(err, &f):
		return f.hint
	case errors.As(err, &remote):
		return remote.Hint
	}
	return ""
}
