//go:build !linux

package main

import "golang.org/x/sys/unix"

// searchFolder opens a folder.
const searchFolder = unix.O_RDONLY
