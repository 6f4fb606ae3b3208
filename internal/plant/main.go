// Command plant asks whether the tests of this repository would notice. It
// plants one bug of one line at a time in a scratch copy of a file, runs the
// suites against it, cheapest first, and prints which test has caught it; the
// files of the work tree stay as they are. A bug that no suite catches is a
// test that is missing.
//
//	go run ./internal/plant             plant the bugs of bugs.go, one after the other
//	go run ./internal/plant -list       only list them
//	go run ./internal/plant -share 0/4  plant every fourth bug, from the first on
//	go run ./internal/plant -mutate 50  plant 50 bugs drawn at random
//
// It ends with 1 if a bug is not caught, does not apply exactly once or does
// not compile, and if the suites fail without any bug.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	list := flag.Bool("list", false, "list the bugs and plant none")
	only := flag.String("only", "", "plant only bugs with this text, or one of several with | between, in their name or file")
	part := flag.String("share", "0/1", "K/N: plant every Nth of the bugs, from number K on")
	whole := flag.Bool("whole", false, "run whole suites, whatever test a bug names: which test is the first to catch it?")
	mutate := flag.Int("mutate", 0, "plant this many bugs drawn at random, instead of those that are listed")
	seed := flag.Uint64("seed", 1, "with -mutate: of the draw")
	in := flag.String("in", "ring", "with -mutate: files to draw from, or folders, with commas between")
	flag.Parse()
	some := wanted(*only)
	root, err := moduleRoot()
	if err == nil {
		some, err = share(some, *part)
	}
	if err == nil {
		g := garden{root: root, whole: *whole}
		switch {
		case *list:
			for _, b := range some {
				fmt.Printf("%-24s %s\n", b.file, b.name)
			}
		case *mutate > 0:
			err = g.plantMutants(strings.Split(*in, ","), *mutate, *seed)
		default:
			err = g.plantBugs(some)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plant: error:", err)
		os.Exit(1)
	}
}

// moduleRoot returns the folder of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// wanted returns the listed bugs that have one of some texts in their name or
// file.
func wanted(texts string) (some []bug) {
	for _, b := range bugs {
		if slices.ContainsFunc(strings.Split(texts, "|"), func(text string) bool {
			return strings.Contains(b.name, text) || strings.Contains(b.file, text)
		}) {
			some = append(some, b)
		}
	}
	return some
}

// share returns every Nth bug from number K on; part is K/N.
func share(some []bug, part string) ([]bug, error) {
	var k, n int
	if _, err := fmt.Sscanf(part, "%d/%d", &k, &n); err != nil || k < 0 || k >= n {
		return nil, fmt.Errorf("-share is K/N with K from 0 to N-1, not %q", part)
	}
	var picked []bug
	for i := k; i < len(some); i += n {
		picked = append(picked, some[i])
	}
	return picked, nil
}

// garden plants bugs in a module.
type garden struct {
	root  string
	whole bool
}

// fate is what became of a bug.
type fate struct {
	test   string // that caught it; empty: none did
	suites string // that did not
	took   time.Duration
	err    error // it could not be planted
}

func (f fate) String() string {
	switch {
	case f.err != nil:
		return fmt.Sprintf("NOT PLANTED: %v", f.err)
	case f.test == "":
		return "NOT CAUGHT by " + f.suites
	}
	return f.test
}

var errNotAll = errors.New("not every bug was planted and caught")

// plantBugs plants each bug and prints a line of the table for each.
func (g *garden) plantBugs(some []bug) error {
	if len(some) == 0 {
		return errors.New("no bug has that name")
	}
	began := time.Now()
	if err := g.healthy(some); err != nil {
		return err
	}
	fates := inTurn(len(some), func(i int) fate { return g.plant(some[i]) })
	fmt.Printf("\n%-16s %-64s %-60s %s\n", "file", "bug", "caught by", "seconds")
	caught := 0
	for i, b := range some {
		f := <-fates[i]
		if f.err == nil && f.test != "" {
			caught++
		}
		fmt.Printf("%-16s %-64s %-60v %7.1f\n", b.file, b.name, f, f.took.Seconds())
	}
	fmt.Printf("\n%d of %d bugs caught in %.0f s\n", caught, len(some), time.Since(began).Seconds())
	if caught < len(some) {
		return errNotAll
	}
	return nil
}

// atOnce is how many bugs are planted at a time: the Go command uses two cores
// for each by turns, to build and to run.
const atOnce = 2

// inTurn calls f with 0 to n-1 in order, some at a time, and returns where
// each result comes.
func inTurn(n int, f func(int) fate) []chan fate {
	fates := make([]chan fate, n)
	for i := range fates {
		fates[i] = make(chan fate, 1) // one place: whoever fills it goes on
	}
	next := make(chan int)
	go func() { // ends with the last number
		defer close(next)
		for i := range n {
			next <- i
		}
	}()
	for range atOnce {
		go func() { // ends with the last number; its results are waited for
			for i := range next {
				fates[i] <- f(i)
			}
		}()
	}
	return fates
}

// healthy runs the suites that the bugs need without any bug.
func (g *garden) healthy(some []bug) error {
	need := make(map[string]bool)
	for _, b := range some {
		for _, s := range b.suites() {
			need[s] = true
		}
	}
	for _, s := range suites {
		if !need[s.name] {
			continue
		}
		began := time.Now()
		r := s.run(g.root, "", "")
		switch {
		case r.err != nil:
			return fmt.Errorf("running suite %s without a bug: %w", s.name, r.err)
		case r.failed != "":
			return fmt.Errorf("running suite %s without a bug: %s fails", s.name, r.failed)
		case r.passed == 0:
			return fmt.Errorf("running suite %s without a bug: it has no test", s.name)
		}
		fmt.Printf("without a bug: suite %-8s %4d tests pass in %5.1f s\n", s.name, r.passed, time.Since(began).Seconds())
	}
	return nil
}

// plant tries one bug: first the test that caught it when it was listed, then
// whole suites.
func (g *garden) plant(b bug) fate {
	source, err := b.apply(g.root)
	if err != nil {
		return fate{err: err}
	}
	expected := b.test
	if g.whole {
		expected = ""
	}
	return g.try(b.file, source, b.suites(), expected)
}

// try runs suites against the module with other text for one file, until a
// test fails.
func (g *garden) try(file string, source []byte, names []string, expected string) (f fate) {
	began := time.Now()
	defer func() { f.took = time.Since(began) }()
	o, err := newOverlay(g.root, file, source)
	if err != nil {
		return fate{err: err}
	}
	defer o.remove()
	if expected != "" {
		r := suiteNamed(names[0]).run(g.root, o.list, expected)
		if r.err != nil || r.failed != "" {
			return fate{test: r.failed, err: r.err}
		}
	}
	for _, name := range names {
		r := suiteNamed(name).run(g.root, o.list, "")
		if r.err != nil || r.failed != "" {
			return fate{test: r.failed, err: r.err}
		}
	}
	return fate{suites: strings.Join(names, ", ")}
}
