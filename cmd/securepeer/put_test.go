package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"securepeer/internal/control"
	"securepeer/node"
)

// TestPutOfWhatHasNoName: a number that the shell chose is no name for a file.
func TestPutOfWhatHasNoName(t *testing.T) {
	for _, path := range []string{"/dev/fd/63", "//dev/./fd/63", "/dev/stdin", "/proc/self/fd/3", "/proc/17/fd/3", "/proc/self/task/4/fd/3"} {
		out, err := program("put", path, "--dir", t.TempDir()).CombinedOutput()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != int(exitUsage) || !bytes.Contains(out, []byte("--name NAME")) {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
	for _, path := range []string{"63", "dev/fd/63", "/proc/cpuinfo", "/tmp/fd/3"} {
		if nameless(path) {
			t.Errorf("%s has no name", path)
		}
	}
}

// TestFailedCommandIsNotWaitedForLonger: what it has left behind may hold its
// output for ever.
func TestFailedCommandIsNotWaitedForLonger(t *testing.T) {
	a := &app{console: new(console)}
	c := a.newChild([]string{"sh", "-c", "echo hi; sleep 1000 & exit 1"})
	c.group = true // it is ended as a whole
	c.cmd.SysProcAttr = ownGroup()
	b, err := io.ReadAll(c)
	if code := exitOf(err); code != exitCommand {
		t.Errorf("read %q, %v", b, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestCommandThatIsNotThere is told in words of ours.
func TestCommandThatIsNotThere(t *testing.T) {
	a := &app{console: new(console)}
	for _, command := range []string{"./nosuchprog", "/nosuch/prog", "nosuchprog", t.TempDir()} {
		c := a.newChild([]string{command})
		_, err := io.ReadAll(c)
		if exitOf(err) != exitCommand || strings.Contains(err.Error(), "exec ") || strings.Count(err.Error(), command) != 1 {
			t.Errorf("%s: %v", command, err)
		}
		c.Close() // it does not run
	}
}

// TestPutThatGrewSaysSoInJSON: a program that reads the result learns that the
// file has more than what is stored, as a user does.
func TestPutThatGrewSaysSoInJSON(t *testing.T) {
	const length = 16 << 20 // far more than sockets and buffers hold
	path := filepath.Join(t.TempDir(), "log")
	var growing atomic.Bool
	dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.ReadFull(r.Body, make([]byte, 1))
		if err == nil && growing.Load() {
			err = writeAt(path, length, "more")
		}
		rest, drained := io.Copy(io.Discard, r.Body)
		if err := errors.Join(err, drained); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"schema": "securepeer/put/1", "name": "log", "version": 1, "size": %d, "copies": ["a"], "wanted": 1}`, int64(n)+rest)
	})
	for _, grow := range []bool{false, true} {
		growing.Store(grow)
		if err := os.WriteFile(path, make([]byte, length), 0o600); err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd := program("put", path, "--json", "--dir", dir)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		var got struct{ Size, Grown int64 }
		if err := errors.Join(err, json.Unmarshal(out, &got)); err != nil {
			t.Fatalf("%v: %s%s", err, out, &errs)
		}
		want := int64(0)
		if grow {
			want = int64(len("more"))
		}
		if got.Size != length || got.Grown != want || strings.Contains(errs.String(), "grew while it was read") != grow {
			t.Errorf("grows %v: %s%s", grow, out, &errs)
		}
		if strings.Contains(string(out), "grown") != grow {
			t.Errorf("grows %v: %s", grow, out)
		}
	}
}

// TestRemarks: what is said of a version that others do not get, and of a number
// that nobody expects; of others nothing.
func TestRemarks(t *testing.T) {
	for want, r := range map[string]node.PutResult{
		"": {},
		"ab is stored, but version 2 is newer: that one is what others get":                  {Newer: 2},
		"ab is stored, but version 2, which is newer, has removed it":                        {Newer: 2, NewerRemoved: true},
		"version 1 of ab is numbered above any that dave \"\\ne\" may have, who did not say": {Above: []string{"dave", "\ne"}},
	} {
		var out, errs bytes.Buffer
		a := &app{console: &console{out: bufio.NewWriter(&out), err: &errs}}
		r.Name, r.Version = "ab", 1
		if err := a.stored(control.PutResult{PutResult: r}, "stored"); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(errs.String(), "securepeer: "), "\n"); got != want {
			t.Errorf("%+v: said %q, want %q", r, got, want)
		}
	}
}

// TestPartlyDoneIsDoneInPart: several things that all failed, each for another
// reason, are not "partly done". Once put exited 3 for two files of which neither
// was stored.
func TestPartlyDoneIsDoneInPart(t *testing.T) {
	missing, wrong := told(exitNotFound), told(exitUsage)
	for _, test := range []struct {
		results []error
		want    exitCode
	}{
		{[]error{nil, nil}, exitOK},
		{[]error{nil, missing}, exitPartial},
		{[]error{missing, nil}, exitPartial},
		{[]error{told(exitPartial), missing}, exitPartial},
		{[]error{missing, told(exitPartial), missing}, exitPartial},
		{[]error{missing, missing}, exitNotFound},
		{[]error{missing, wrong}, exitOther},
		{[]error{wrong, missing, missing}, exitOther},
	} {
		a := &app{console: &console{err: new(bytes.Buffer)}}
		i := -1
		err := a.each([]string{"a", "b", "c"}[:len(test.results)], func(string) error {
			i++
			return test.results[i]
		})
		if got := exitOf(err); got != test.want {
			t.Errorf("%v: exit %d, want %d", test.results, got, test.want)
		}
	}
}
