//go:build !linux

package main

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the peers of a demo, or the command
// of a put, which ends them itself.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
