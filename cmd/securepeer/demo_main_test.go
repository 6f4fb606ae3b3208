package main

import (
	"log"
	"os"
	"path/filepath"
	"testing"
)

// TestMain puts the program on the path, as securepeer: it is the test binary
// under that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "securepeer" {
		main()
	}
	os.Exit(withProgram(m.Run))
}

func withProgram(run func() int) int {
	dir, err := os.MkdirTemp("", "securepeer-test-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		log.Fatal(err)
	}
	// A copy, not a link: a demo starts what the system says it is.
	if err := os.WriteFile(filepath.Join(dir, "securepeer"), program, 0o700); err != nil {
		log.Fatal(err)
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return run()
}
