//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"securepeer/internal/control"
)

// machine is a namespace with a user who types commands.
type machine struct {
	t       *testing.T
	lab     *Lab
	id      int
	name    string
	home    string
	program string
}

// command is what the user types: the first word is the program's.
func (m *machine) command(words ...string) *exec.Cmd {
	cmd := exec.Command(m.program, words[1:]...)
	cmd.Dir = m.home
	cmd.Env = []string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	return cmd
}

// types runs a command, which must succeed, and returns what it printed.
func (m *machine) types(words ...string) string {
	m.t.Helper()
	cmd := m.command(words...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := m.lab.Start(m.id, cmd); err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		m.t.Fatalf("on %s %q: %v: %s", m.name, words, err, errs.String())
	}
	return out.String()
}

// state is the folder that README speaks of.
func (m *machine) state() string { return filepath.Join(m.home, ".local/state/securepeer") }

// starts runs a command that stays, until the test ends, and returns how to
// read what it has said by now.
func (m *machine) starts(words ...string) (said func() string) {
	m.t.Helper()
	path := filepath.Join(m.home, "said")
	log, err := os.Create(path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd := m.command(words...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := m.lab.Start(m.id, cmd); err != nil {
		m.t.Fatal(err)
	}
	said = func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			m.t.Error(err)
		}
		return string(b)
	}
	m.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
		var ended *exec.ExitError
		if err := cmd.Wait(); errors.As(err, &ended) {
			m.t.Errorf("%q on %s ends with %v", words, m.name, err)
		}
		if m.t.Failed() {
			m.t.Logf("%s said:\n%s", m.name, said())
		}
	})
	return said
}

// typed returns the commands in README's code blocks between two headings,
// with those keys in place of sp1..., in order.
func typed(t *testing.T, from, to string, public ...string) (commands [][]string) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "\n## "+from+"\n")
	text, _, ok2 := strings.Cut(text, "\n## "+to+"\n")
	if !ok || !ok2 {
		t.Fatalf("README has no headings %q and %q", from, to)
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "securepeer" {
			continue
		}
		for i, w := range words {
			if w == "sp1..." && len(public) > 0 {
				words[i], public = public[0], public[1:]
			}
		}
		commands = append(commands, words)
	}
	return commands
}

// asREADMESays sets a ring of three up, and a fourth, with README's commands as
// they stand there, on machines whose hosts file is the one that Debian's
// installer makes: it has the machine's own name lead to 127.0.1.1.
func asREADMESays(t *testing.T, program string, seed uint64) {
	const debian = "127.0.0.1\tlocalhost\n127.0.1.1\t%[1]s.example.net\t%[1]s\n\n" +
		"# The following lines are desirable for IPv6 capable hosts\n" +
		"::1     localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
	l := newLab(t, 5, seed)
	s := newNameServer(t, l, 5)
	home := t.TempDir()
	var all []*machine
	for i, name := range []string{"alice", "bob", "carol", "dave"} {
		m := &machine{t: t, lab: l, id: i + 1, name: name, home: filepath.Join(home, name), program: program}
		s.Name(name+".example.net", Addr(m.id))
		for _, err := range []error{os.Mkdir(m.home, 0o700), l.WriteEtc(m.id, "hosts", fmt.Sprintf(debian, name)), l.UseNameServer(m.id, Addr(5))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, m)
	}
	three, dave := all[:3], all[3]
	alice, carol := all[0], all[2]

	commands := typed(t, "Three machines", "A fourth machine, while the ring runs")
	keygen := commands[0]
	public := make([]string, len(all))
	for i, m := range all {
		public[i] = strings.TrimSpace(m.types(keygen...))
	}
	commands = typed(t, "Three machines", "A fourth machine, while the ring runs", public...)
	if len(commands) != 7 || commands[1][2] != "init" || commands[2][1] != "start" || commands[3][1] != "put" || commands[5][1] != "get" {
		t.Fatalf("README's commands are others than this test knows: %q", commands)
	}
	alice.types(commands[1]...)
	carries(t, alice, all[1:]...)
	for _, m := range three {
		m.starts(commands[2]...)
	}
	active(t, three...)

	thesis := bytes.Repeat([]byte("It is a truth universally acknowledged. "), 50_000)
	if err := os.WriteFile(filepath.Join(alice.home, "thesis.pdf"), thesis, 0o600); err != nil {
		t.Fatal(err)
	}
	alice.types(commands[3]...)
	if out := alice.types(commands[4]...); !strings.Contains(out, "thesis.pdf") {
		t.Errorf("ls prints %q", out)
	}
	carol.types(commands[5]...)
	if got, err := os.ReadFile(filepath.Join(carol.home, "thesis.pdf")); err != nil || !bytes.Equal(got, thesis) {
		t.Errorf("get on carol gives %d bytes (%v), want %d", len(got), err, len(thesis))
	}
	if out := carol.types(commands[6]...); strings.Contains(out, "one-way") || strings.Contains(out, "silent") {
		t.Errorf("status prints %s", out)
	}

	fourth := typed(t, "A fourth machine, while the ring runs", "What it promises, and what not", public[3])
	add := slices.IndexFunc(fourth, func(words []string) bool { return words[1] == "roster" && words[2] == "add" })
	if add < 0 {
		t.Fatalf("README adds nobody: %q", fourth)
	}
	alice.types(fourth[add]...)
	carries(t, alice, all[1:]...)
	for _, m := range three {
		m.types("securepeer", "roster", "reload") // inside a sentence there
	}
	dave.starts(commands[2]...)
	active(t, all...)
	dave.types(commands[5]...)
}

// carries copies the roster to other machines, as their users do.
func carries(t *testing.T, from *machine, to ...*machine) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from.state(), "roster"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range to {
		if err := os.WriteFile(filepath.Join(m.state(), "roster"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// active waits until each machine's status says that all of these are in the
// ring, and that nothing is wrong with any, for some intervals.
func active(t *testing.T, machines ...*machine) {
	t.Helper()
	const calm, limit = 5 * time.Second, 40 * time.Second
	began, since := time.Now(), time.Now()
	for time.Since(since) < calm {
		if what := notActive(machines); what != "" {
			if time.Since(began) > limit {
				t.Fatalf("after %v %s", limit, what)
			}
			since = time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// notActive says what is wrong, if anything is.
func notActive(machines []*machine) string {
	for _, m := range machines {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s, err := control.New(m.state()).Status(ctx)
		cancel()
		if err != nil || s.State != "active" || len(s.Circle) != len(machines) {
			return fmt.Sprintf("%s is %q and sees %q (%v)", m.name, s.State, s.Circle, err)
		}
		for _, on := range s.Members {
			if on.State != "active" || on.Why != "" || on.Problem != "" {
				b, _ := json.Marshal(on)
				return fmt.Sprintf("%s says %s", m.name, b)
			}
		}
	}
	return ""
}
