package main

import "golang.org/x/sys/unix"

// searchFolder opens a folder that may be entered, also if it may not be read.
const searchFolder = unix.O_PATH
