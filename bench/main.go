// Command bench weighs securepeer against what a user would take instead: a
// copy of a file over TLS 1.3 by a small Go program. It builds securepeer,
// starts a ring of five real peers on loopback, and runs both sides in turn,
// A B A B, so that what else the machine does falls on both. What counts is
// the median of the ratios of the pairs; seconds of one machine say little.
//
//	go run ./bench
//
// It exits with 1 if a ratio that must hold does not. Source files are warm in
// the page cache. The TLS copy and get leave their file to the page cache. Put
// syncs three copies before it returns, so its time is told, and its
// processor time, user and system, is what is judged.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// options are the flags.
type options struct {
	size   sizeFlag
	rounds int
	json   bool
	dir    string
}

// sizeFlag is a flag's size in bytes, written with its unit, as in 64MiB.
type sizeFlag int64

var _ pflag.Value = (*sizeFlag)(nil)

const mib = 1 << 20

// sizeUnits are the units that a size may have, the largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", mib}, {"KiB", 1 << 10}, {"B", 1}}

func (s *sizeFlag) String() string {
	for _, u := range sizeUnits {
		if n := int64(*s); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

func (s *sizeFlag) Set(text string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.bytes {
			break
		}
		*s = sizeFlag(int64(n) * u.bytes)
		return nil
	}
	return errors.New("it takes a size with its unit, as in 64MiB or 1GiB")
}

// Type is what the help shows for the value.
func (s *sizeFlag) Type() string { return "size" }

func main() {
	if len(os.Args) > 1 && runBaseline(os.Args[1:]) {
		return
	}
	o := options{size: 512 * mib}
	pflag.Var(&o.size, "size", "size of the large file")
	pflag.IntVar(&o.rounds, "rounds", 3, "how often each side runs")
	pflag.BoolVar(&o.json, "json", false, "print JSON")
	pflag.StringVar(&o.dir, "dir", "", "`FOLDER` to make a temporary one in, of 8 x size (default: the system's)")
	pflag.Parse()
	if pflag.NArg() > 0 || o.size < mib || o.rounds < 1 {
		pflag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	r, err := measure(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if o.json {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(r)
	} else {
		err = r.print(os.Stdout)
	}
	if err == nil && !r.held() {
		err = errors.New("a ratio that must hold does not")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs everything in a temporary folder, which is gone afterwards, as
// are all processes.
func measure(ctx context.Context, o options) (r *report, err error) {
	dir, err := os.MkdirTemp(o.dir, "securepeer-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return (&bench{options: o, dir: dir}).run(ctx)
}
