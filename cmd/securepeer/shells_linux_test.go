package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"securepeer/node"
)

// withShells runs the tests that need bash with bash-completion, zsh and fish,
// as Debian's packages of these names install them.
var withShells = flag.Bool("shells", false, "complete in bash, zsh and fish")

// terminal is a pseudo-terminal with a shell in it.
type terminal struct {
	master *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{} // one place: something was seen since
}

// openTerminal starts cmd in a new terminal, and ends it with the test.
func openTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{master: os.NewFile(uintptr(fd), "terminal"), more: make(chan struct{}, 1)}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 200})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close() // the shell has its own
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { // ends with the shell
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := term.master.Read(b)
			term.mu.Lock()
			term.seen.Write(b[:n])
			term.mu.Unlock()
			select {
			case term.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // it may have ended
		cmd.Wait()         // its exit code says nothing here
		term.master.Close()
		<-read
	})
	return term
}

// types writes what a user types and waits until want is seen after it.
func (term *terminal) types(t *testing.T, text, want string) string {
	t.Helper()
	term.mu.Lock()
	from := term.seen.Len()
	term.mu.Unlock()
	term.master.WriteString(text)
	for deadline := time.After(4 * scriptWait); ; {
		term.mu.Lock()
		seen := string(term.seen.Bytes()[from:])
		term.mu.Unlock()
		if strings.Contains(seen, want) {
			return seen
		}
		select {
		case <-term.more:
		case <-deadline:
			t.Fatalf("typed %q, waited in vain for %q: %q", text, want, seen)
		}
	}
}

// TestShellsRunNothingThatTheyComplete: whatever members call their files, Tab
// runs nothing and inserts one word. A plain name beside them is completed, so
// that it is known that the shell asked.
func TestShellsRunNothingThatTheyComplete(t *testing.T) {
	if !*withShells {
		return // the table of TestOnlyPlainWordsAreCompleted is held in every run
	}
	evils := []string{
		"$(touch pwned)", "`touch pwned`", ";touch pwned;", "&touch pwned&", "|touch pwned|", " (touch pwned)", "\ntouch pwned\n",
		"'$(touch pwned)'", `"$(touch pwned)"`, ">pwned>", "*(e:'touch pwned':)", "\tdescribed $(touch pwned)", "<(touch pwned)", "(touch pwned)",
	}
	begins := func(i int) string { return "q" + string(rune('a'+i)) } // one evil behind each
	var files []node.FileInfo
	for _, end := range []string{"1", "2"} { // two, so that Tab inserts what is common to them
		for i, evil := range evils {
			files = append(files, node.FileInfo{Name: begins(i) + evil + end})
		}
		files = append(files, node.FileInfo{Name: "plain-file.tar." + end})
	}
	files = append(files, node.FileInfo{Name: "single$(touch pwned)"})
	dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		var chosen []node.FileInfo
		for _, f := range files {
			if strings.HasPrefix(f.Name, r.URL.Query().Get("prefix")) {
				chosen = append(chosen, f)
			}
		}
		json.NewEncoder(w).Encode(map[string]any{"schema": "securepeer/ls/1", "files": chosen, "silent": []string{}})
	})
	for _, shell := range []struct {
		args  []string
		setup string
	}{
		{[]string{"bash", "--norc", "--noprofile", "-i"}, "source /usr/share/bash-completion/bash_completion; source <(securepeer completion bash)"},
		{[]string{"zsh", "-f", "-i"}, "autoload -U compinit; compinit -u -D; source <(securepeer completion zsh); compdef _securepeer securepeer"},
		{[]string{"fish", "--no-config", "-i"}, "securepeer completion fish | source"},
	} {
		t.Run(shell.args[0], func(t *testing.T) {
			work := t.TempDir()
			cmd := exec.Command(shell.args[0], shell.args[1:]...)
			cmd.Dir = work
			cmd.Env = append(os.Environ(), "HOME="+work, "XDG_CONFIG_HOME="+work, "SECUREPEER_DIR="+dir, "TERM=dumb", "LC_ALL=C.UTF-8", "HISTFILE=")
			term := openTerminal(t, cmd)
			term.types(t, "echo rea''dy\r", "ready")
			term.types(t, shell.setup+"; echo se''t\r", "set")
			for i := range evils { // what the first Tab inserts, the next has evaluated
				term.types(t, "securepeer get "+begins(i)+"\t\t\t\x15echo do''ne\r", "done")
			}
			term.types(t, "securepeer get sing\t\t\x15echo do''ne\r", "done")
			term.types(t, "securepeer rm \t\t\x15echo do''ne\r", "done")
			term.types(t, "securepeer get plain\t\t", "-file.tar.")
			term.types(t, "\x15echo do''ne\r", "done")
			if _, err := os.Stat(filepath.Join(work, "pwned")); err == nil {
				t.Error("a file's name was run")
			}
		})
	}
}
