package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// change is what somebody does to a file while it is half read.
type change struct {
	name  string
	do    func(path string) error
	want  error // behind the last byte
	grown int64
}

var changes = []change{
	{"nothing", func(string) error { return nil }, io.EOF, 0},
	{"appended to", func(path string) error { return writeAt(path, 1000, "more") }, io.EOF, 4},
	{"replaced by another", func(path string) error {
		return errors.Join(os.WriteFile(path+".new", []byte("new"), 0o600), os.Rename(path+".new", path))
	}, io.EOF, 0},
	{"removed", os.Remove, io.EOF, 0},
	{"written to", func(path string) error { return writeAt(path, 900, "x") }, errChanged, 0},
	{"written to where it was read", func(path string) error { return writeAt(path, 3, "x") }, errChanged, 0},
	{"written to with its time set back", func(path string) error {
		stat, err := os.Stat(path)
		return errors.Join(err, writeAt(path, 3, "x"), os.Chtimes(path, time.Time{}, stat.ModTime()))
	}, errChanged, 0},
	{"cut", func(path string) error { return os.Truncate(path, 700) }, errChanged, 0},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }, errChanged, 0},
	{"written anew, longer", func(path string) error {
		return errors.Join(os.Truncate(path, 0), writeAt(path, 0, strings.Repeat("n", 2000)))
	}, errChanged, 0},
	{"appended to and written to where it was read", func(path string) error {
		return errors.Join(writeAt(path, 1000, "more"), writeAt(path, 3, "x"))
	}, errChanged, 0},
	{"appended to and written to where it was not", func(path string) error {
		return errors.Join(writeAt(path, 900, "x"), writeAt(path, 1000, "more"))
	}, io.EOF, 4}, // all that was read was there at the end
}

func writeAt(path string, at int64, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), at)
	return errors.Join(err, f.Close())
}

// TestFileThatIsChangedWhileItIsRead: what is stored was in the file at one
// moment.
func TestFileThatIsChangedWhileItIsRead(t *testing.T) {
	for _, c := range changes {
		for _, young := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "f")
			was := bytes.Repeat([]byte("0123456789"), 100)
			if err := os.WriteFile(path, was, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w, err := newWholeFile(f, 0)
			if err != nil {
				t.Fatal(err)
			}
			w.young = w.young || young // as if somebody wrote just before
			got, err := readUntil(w, 500)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			rest, err := readUntil(w, 2000)
			got = append(got, rest...)
			if err != c.want || w.grown != c.grown {
				t.Errorf("%s: read %d bytes and %v, grown by %d, want %v and %d", c.name, len(got), err, w.grown, c.want, c.grown)
			}
			if err == io.EOF && len(got) != 1000 {
				t.Errorf("%s: read %d bytes of 1000", c.name, len(got))
			}
		}
	}
}

// readUntil reads n bytes, or until an error.
func readUntil(r io.Reader, n int) (got []byte, err error) {
	b := make([]byte, 128)
	for err == nil && len(got) < n {
		var k int
		k, err = r.Read(b[:min(len(b), n-len(got))])
		got = append(got, b[:k]...)
	}
	return got, err
}

// TestFileIsReadAgainOnce: a change is not stored, and one after the other is
// no reason to go on for ever.
func TestFileIsReadAgainOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, c := range []struct {
		changed int // in so many readings
		asIs    bool
		reads   int
		exit    exitCode
	}{{0, false, 1, exitOK}, {1, false, 2, exitOK}, {9, false, 2, exitOther}, {9, true, 1, exitOK}} {
		if err := os.WriteFile(path, bytes.Repeat([]byte("0123456789"), 100), 0o600); err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		a := &app{console: &console{err: &errs}}
		reads := 0
		err := a.read(path, putOptions{asIs: c.asIs}, func(src *source) error {
			reads++
			if _, err := readUntil(src, 500); err != nil {
				return err
			}
			if reads <= c.changed {
				if err := writeAt(path, 3, strings.Repeat("x", reads)); err != nil {
					return err
				}
			}
			if _, err := readUntil(src, 2000); err != io.EOF {
				return fmt.Errorf("putting: %w", err)
			}
			return nil
		})
		if reads != c.reads || exitOf(err) != c.exit {
			t.Errorf("changed in %d readings, as it is %v: read %d times, %v", c.changed, c.asIs, reads, err)
		}
		if c.exit != exitOK && !strings.Contains(hintOf(err), "--as-is") {
			t.Errorf("the hint is %q", hintOf(err))
		}
		if again := strings.Contains(errs.String(), "it is read again"); again != (c.reads == 2) {
			t.Errorf("said %q", errs.String())
		}
	}
}

// TestFileThatGrowsFromNothing: a size of 0 is believed of a file that keeps
// it.
func TestFileThatGrowsFromNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{console: &console{err: io.Discard}}
	var got []string
	err := a.read(path, putOptions{}, func(src *source) error {
		if len(got) == 0 {
			if err := os.WriteFile(path, []byte("beginning"), 0o600); err != nil {
				return err
			}
		}
		b, err := io.ReadAll(src)
		got = append(got, string(b))
		return err
	})
	if err != nil || len(got) != 2 || got[1] != "beginning" {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestStandardInputThatIsAFile is read from where it stands, and again from
// there.
func TestStandardInputThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("skipped and read"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	a := &app{console: &console{in: in, err: &errs}}
	var got []string
	err = a.read("-", putOptions{}, func(src *source) error {
		if len(got) == 0 {
			if err := writeAt(path, 8, "AND"); err != nil {
				return err
			}
		}
		b, err := io.ReadAll(src)
		got = append(got, string(b))
		return err
	})
	if err != nil || len(got) != 2 || got[1] != "AND read" {
		t.Errorf("read %q, %v", got, err)
	}
	if want := "securepeer: standard input was changed while it was read: it is read again\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs.String(), want)
	}
}

// TestWhenATimeTells: a write just behind the last one leaves no trace.
func TestWhenATimeTells(t *testing.T) {
	at := time.Unix(1700000000, 1)
	second := time.Unix(1700000000, 0)
	for _, c := range []struct {
		mtime, ctime time.Time
		age          time.Duration
		want         time.Duration
	}{
		{at, at, 0, quietTime},
		{at, at, quietTime - 1, 1},
		{at, at, quietTime, 0},
		{at, at, time.Hour, 0},
		{at, at, -time.Hour, 0}, // of another clock, or a time that was set
		{at.Add(-time.Hour), at, 0, quietTime},
		{second, second, 0, coarseTime},
		{second, second, coarseTime, 0},
		{second.Add(-time.Hour), at, 0, quietTime},
		{second, at, quietTime, 0},
	} {
		m := moment{mtime: c.mtime, ctime: c.ctime}
		if got := m.settles(c.ctime.Add(c.age)); got != c.want {
			t.Errorf("%v, %v after %v: settles in %v, want %v", c.mtime, c.ctime, c.age, got, c.want)
		}
	}
}
