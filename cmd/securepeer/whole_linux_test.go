package main

import (
	"bytes"
	"io"
	"os"
	"testing"
)

// TestFilesWithAnotherSizeThanTheySay: proc says 0 and has bytes, sysfs says
// 4096 and has a few.
func TestFilesWithAnotherSizeThanTheySay(t *testing.T) {
	for _, path := range []string{"/proc/version", "/proc/self/environ", "/proc/filesystems", "/sys/kernel/uevent_seqnum"} {
		want, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // not on this machine
		} else if err != nil {
			t.Fatal(err)
		}
		stdin, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		a := &app{console: &console{in: stdin, err: io.Discard}}
		for _, file := range []string{path, "-"} {
			var got []byte
			err := a.read(file, putOptions{}, func(src *source) (err error) {
				got, err = io.ReadAll(src)
				return err
			})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s as %s: read %d bytes of %d, %v", path, file, len(got), len(want), err)
			}
		}
	}
}
