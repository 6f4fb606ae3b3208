package main

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the peers of a demo, or the command
// of a put, which ends them itself, and has the kernel kill them if this
// process dies in any other way. The kernel does it when the thread that
// started them ends; Go's threads end with the process, but for those of a
// goroutine that is locked to its thread, of which there is none here.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
