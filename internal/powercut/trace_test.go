//go:build linux

package powercut

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// traced are the system calls that change a disk or force it.
const traced = "openat,write,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,mkdir,mkdirat"

// tracer is the command that has strace write the calls of a program to a file.
func tracer(log string) []string {
	return []string{"strace", "-f", "-y", "-s", "0", "-o", log, "-e", "signal=none", "-e", "trace=" + traced}
}

// trace follows which of the bytes and names that a program has written are on
// the disk: those that it has synced. Lines of strace are its clock.
type trace struct {
	root    string // of the disk: other paths do not count
	now     int
	begun   map[string]begun // by thread: the call that it waits for
	bytes   map[string]int   // files that are not synced: since when
	names   map[string]int   // folders, the same
	settled bool             // a syncfs has succeeded
	wrong   []string
}

type begun struct {
	text string
	at   int
}

var (
	callLine  = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)
	inAngles  = regexp.MustCompile(`<([^>]*)>`)
	inQuotes  = regexp.MustCompile(`"([^"]*)"`)
	resumed   = regexp.MustCompile(`^<\.\.\. \w+ resumed>`)
	inWriting = regexp.MustCompile(`O_CREAT`)
)

// readTrace reads what strace has written so far.
func readTrace(log, root string) (*trace, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	t := &trace{root: root, begun: make(map[string]begun), bytes: make(map[string]int), names: make(map[string]int)}
	for line := range bytes.Lines(text) {
		t.now++
		thread, call, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		call = strings.TrimSpace(call)
		at := t.now
		if head, ok := strings.CutSuffix(call, "<unfinished ...>"); ok {
			t.begun[thread] = begun{strings.TrimSpace(head), at}
			continue
		}
		if rest := resumed.FindString(call); rest != "" {
			b := t.begun[thread]
			call, at = b.text+strings.TrimPrefix(call, rest), b.at
		}
		t.call(call, at)
	}
	if t.now == 0 {
		return nil, fmt.Errorf("%s is empty", log)
	}
	return t, nil
}

// call takes a call that began at that line and has ended at this one.
func (t *trace) call(text string, at int) {
	m := callLine.FindStringSubmatch(text)
	if m == nil || strings.HasPrefix(m[3], "-") {
		return // it has changed nothing
	}
	name, args := m[1], m[2]
	switch name {
	case "write", "pwrite64":
		t.dirty(t.bytes, first(inAngles, args))
	case "fsync", "fdatasync":
		path := first(inAngles, args)
		for _, kind := range []map[string]int{t.bytes, t.names} {
			if since, ok := kind[path]; ok && since <= at {
				delete(kind, path)
			}
		}
	case "syncfs":
		t.settled = true
	case "openat":
		if path := first(inQuotes, args); inWriting.MatchString(args) {
			t.dirty(t.names, filepath.Dir(path))
		}
	case "mkdir", "mkdirat":
		t.dirty(t.names, filepath.Dir(first(inQuotes, args)))
	default:
		paths := inQuotes.FindAllStringSubmatch(args, -1)
		if len(paths) == 2 {
			t.rename(paths[0][1], paths[1][1])
		}
	}
}

func (t *trace) rename(from, to string) {
	if !t.counts(to) {
		return
	}
	if _, ok := t.bytes[from]; ok {
		t.wrong = append(t.wrong, fmt.Sprintf("%s has its name before its bytes are synced", to))
		delete(t.bytes, from)
	}
	t.dirty(t.names, filepath.Dir(to))
}

func (t *trace) dirty(kind map[string]int, path string) {
	if t.counts(path) {
		kind[path] = t.now
	}
}

// counts tells whether what is at that path is to be on the disk at all:
// unfinished files, those that are out, the block of a run and the cache of
// names need not be.
func (t *trace) counts(path string) bool {
	below, ok := strings.CutPrefix(path, t.root)
	return ok && !slices.Contains([]string{"trash", "bad"}, filepath.Base(filepath.Dir(below))) &&
		!slices.Contains([]string{"tmp", "trash", "bad"}, filepath.Base(below)) && !strings.HasSuffix(below, "state/run") && !strings.HasSuffix(below, "state/names") &&
		!strings.HasSuffix(below, "log")
}

// missing returns what is wrong by now: what had its name too early, and what
// is not synced below that folder.
func (t *trace) missing(below string) []string {
	all := slices.Clone(t.wrong)
	for path := range t.bytes {
		if strings.HasPrefix(path, below) && !unnamed(path) {
			all = append(all, "the bytes of "+path+" are not synced")
		}
	}
	for path := range t.names {
		if strings.HasPrefix(path, below) {
			all = append(all, "the names in "+path+" are not synced")
		}
	}
	slices.Sort(all)
	return all
}

// unnamed tells whether a file has no final name yet.
func unnamed(path string) bool {
	return filepath.Base(filepath.Dir(path)) == "tmp" || strings.HasSuffix(path, ".tmp")
}

func first(in *regexp.Regexp, text string) string {
	if m := in.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}
