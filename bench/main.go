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
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// options are the flags.
type options struct {
	size   sizeFlag
	rounds int
	json   bool
	dir    string
}

// sizeFlag is a size in MiB.
type sizeFlag int64

func (s sizeFlag) bytes() int64 { return int64(s) << 20 }

func main() {
	if len(os.Args) > 1 && runBaseline(os.Args[1:]) {
		return
	}
	var o options
	flag.Int64Var((*int64)(&o.size), "size", 512, "size of the large file in `MiB`")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each side runs")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.StringVar(&o.dir, "dir", "", "`FOLDER` to make a temporary one in, of 8 x size (default: the system's)")
	flag.Parse()
	if flag.NArg() > 0 || o.size < 1 || o.rounds < 1 {
		flag.Usage()
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
