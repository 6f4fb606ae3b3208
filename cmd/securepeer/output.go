package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/node"
)

// The rules of output:
//
//   - Results go to stdout, one line a thing; with --json one object a line.
//     Everything else goes to stderr and begins with "securepeer: ".
//   - Progress is drawn on stderr, only if that is a terminal, and never with
//     --json. Colours likewise, and not if NO_COLOR is set or TERM is dumb.
//   - Errors begin with a lower-case letter and have no period at the end. A
//     hint says which command helps.
//   - Text that came from elsewhere passes through name or clean, JSON through
//     asciiJSON: no control character of it reaches a terminal.

// console is the program's standard streams and how to use them.
type console struct {
	in      io.Reader
	out     *bufio.Writer // results, by one goroutine; flushed at the end, and by flush
	stdout  io.Writer     // where out goes
	err     io.Writer
	outlets []*outlet // between the console and its files, if it must never wait

	interrupts interrupts

	json     bool // the results are JSON, and so are errors
	screen   bool // out is a terminal
	terminal bool // err is a terminal
	colour   bool // err takes colours
}

func newConsole(in io.Reader, out, err *os.File) *console {
	terminal := term.IsTerminal(int(err.Fd()))
	return &console{
		in:       in,
		out:      bufio.NewWriter(out),
		stdout:   out,
		err:      err,
		screen:   term.IsTerminal(int(out.Fd())),
		terminal: terminal,
		colour:   terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// printf adds to the results. The caller has passed names through name.
func (c *console) printf(format string, args ...any) {
	fmt.Fprintf(c.out, format, args...) // bufio keeps the error for Flush
}

// object adds one JSON object to the results.
func (c *console) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	c.out.Write(append(asciiJSON(b), '\n')) // bufio keeps the error for Flush
	return nil
}

// table lines up the columns of results.
type table struct{ w *tabwriter.Writer }

func (c *console) table() table { return table{tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)} }

// row adds a line; empty cells at its end leave no blanks.
func (t table) row(cells ...any) {
	for len(cells) > 0 && cells[len(cells)-1] == "" {
		cells = cells[:len(cells)-1]
	}
	for i, cell := range cells {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		fmt.Fprint(t.w, cell)
	}
	io.WriteString(t.w, "\n") // the console keeps the errors
}

func (t table) end() { t.w.Flush() } // the console keeps the error

// flush hands the results on, and says if they could not be written.
func (c *console) flush() error {
	if err := c.out.Flush(); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}

// notef tells something that is neither a result nor an error.
func (c *console) notef(format string, args ...any) {
	fmt.Fprintf(c.err, "securepeer: %s\n", clean(fmt.Sprintf(format, args...)))
}

// hintf tells what to do.
func (c *console) hintf(format string, args ...any) {
	c.notef("%s", "hint: "+fmt.Sprintf(format, args...))
}

// fail tells an error, each line of it, and its hint.
func (c *console) fail(err error) {
	if c.json {
		c.failJSON(err)
		return
	}
	label := "error:"
	if c.colour {
		label = "\x1b[31merror:\x1b[0m"
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(c.err, "securepeer: %s %s\n", label, brief(clean(line)))
	}
	if hint := hintOf(err); hint != "" {
		c.hintf("%s", hint)
	}
}

// told is an error that the user has been told already.
type told exitCode

func (t told) Error() string { return "told before" }

// failure is an error as JSON.
type failure struct {
	Schema string        `json:"schema"`
	Exit   exitCode      `json:"exit"`
	Error  string        `json:"error"`
	Hint   string        `json:"hint,omitempty"`
	Peers  []string      `json:"peers,omitempty"` // whom it waits for, or who was of no help
	Lacks  []node.Lack   `json:"lacks,omitempty"` // the same, and why
	Peer   string        `json:"peer,omitempty"`
	File   string        `json:"file,omitempty"`
	Faults []rosterFault `json:"faults,omitempty"` // of a roster
}

// rosterFault is what is wrong in a line of a roster.
type rosterFault struct {
	File  string `json:"file"`
	Line  int    `json:"line"` // from 1; 0: in no single line
	Error string `json:"error"`
}

// rosterFaults returns those that are joined in an error.
func rosterFaults(err error) (list []rosterFault) {
	if r, ok := err.(*keys.RosterError); ok {
		return []rosterFault{{r.File, r.Line, r.Text}}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return rosterFaults(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			list = append(list, rosterFaults(one)...)
		}
	}
	return list
}

func (c *console) failJSON(err error) {
	f := failure{Schema: control.SchemaError, Exit: exitOf(err), Error: err.Error(), Hint: hintOf(err), Faults: rosterFaults(err)}
	var remote *control.Error
	if errors.As(err, &remote) {
		f.Peer, f.Peers, f.Lacks, f.File = remote.Peer, remote.Peers, remote.Lacks, remote.File
	}
	b, err := json.Marshal(f)
	if err != nil {
		b = []byte(`{"error":"writing JSON"}`)
	}
	c.err.Write(append(asciiJSON(b), '\n')) // nowhere left to tell that this fails
}
