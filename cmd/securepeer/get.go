package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"securepeer/internal/control"
	"securepeer/node"
)

// getOptions are the flags of get.
type getOptions struct {
	out   string // "": ./basename; "-": standard output
	by    string // the writer
	force bool
}

// download is what get prints as JSON.
type download struct {
	control.GetResult
	File node.FileInfo `json:"file"`
	Path string        `json:"path"`
}

func getCommand(a *app) *cobra.Command {
	var opt getOptions
	cmd := &cobra.Command{
		Use:     "get NAME",
		Aliases: []string{"request"},
		Short:   "Fetch a file from the ring",
		Long: `Get fetches the newest version of a file, checks every byte against what its
writer signed, and writes it to ./BASENAME, or to -o FILE, or into the folder
that -o names; -o - is standard output. The file appears only when it is whole.
With --force a symbolic link of yours stays one, and the file that it points to
is replaced; a pipe gets the bytes. /dev/stdout and /dev/null need no --force.`,
		GroupID:           groupFiles,
		Args:              exactly(1),
		ValidArgsFunction: a.completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.json && (opt.out == "-" || a.isStdout(opt.out)) {
				return usagef("standard output is either the file or JSON")
			}
			return a.get(cmd.Context(), args[0], opt)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opt.out, "output", "o", "", "write to `FILE`, or into that folder; - is standard output")
	flags.BoolVarP(&opt.force, "force", "f", false, "overwrite the file if it exists")
	flags.StringVar(&opt.by, "by", "", "the newest version by this `MEMBER`")
	addJSON(cmd, a)
	return cmd
}

func (a *app) get(ctx context.Context, stored string, opt getOptions) error {
	target := opt.out
	switch stat, err := os.Stat(target); {
	case target == "":
		target = path.Base(stored)
	case err == nil && stat.IsDir():
		target = filepath.Join(target, path.Base(stored))
	}
	over := overwrite(opt.force)
	// What cannot be a file's name is refused by the peer, which says why.
	if opt.out != "-" && !slices.Contains([]string{".", "..", "/"}, path.Base(stored)) {
		if err := checkTarget(target, over); err != nil {
			return err
		}
	}
	if opt.out == "-" || takesBytes(target) {
		a.interrupts.stand("%s has not come whole", name(stored))
	} else {
		a.interrupts.stand("%s is as it was: nothing is written to it before all bytes have come", name(target))
	}
	bar := a.progress(stored, 0)
	defer bar.done()
	client := a.client()
	progress := bar.follow(ctx, client, bar.waits)
	bar.start()
	d, err := client.Get(ctx, stored, control.GetOptions{By: opt.by, Progress: progress})
	if err != nil {
		return a.spelled(ctx, client, stored, err)
	}
	defer d.Close()
	if a.onScreen(target) { // there the line would stand among the bytes
		bar.done()
	}
	bar.begin(d.File.Size)
	var result control.GetResult
	fill := func(w io.Writer) (err error) {
		result, err = d.CopyTo(countedWriter{w, bar, outputName(target)})
		return err
	}
	if opt.out == "-" {
		err = fill(a.out)
		if flushErr := a.flush(); flushErr != nil {
			err = flushErr // says more than the same error of fill
		}
	} else {
		if takesBytes(target) {
			bar.busy(outputName(target)) // to open a pipe waits for its reader
		}
		err = a.save(target, d.File, over, fill)
	}
	bar.done()
	if err != nil {
		return err
	}
	a.interrupts.stand("all of %s has come", name(stored))
	return a.got(download{result, d.File, target})
}

// onScreen reports whether what is written to target is shown on a terminal.
func (a *app) onScreen(target string) bool {
	if target == "-" {
		return a.screen
	}
	f, _ := stream(target) // an error comes again when it is written to
	if f != nil {
		defer f.Close() // nothing was written
		return term.IsTerminal(int(f.Fd()))
	}
	stat, err := os.Stat(target)
	return err == nil && stat.Mode()&os.ModeCharDevice != 0 && target != os.DevNull
}

// outputName is what the target of a get is called in words.
func outputName(target string) string {
	if target == "-" {
		return "standard output"
	}
	return name(target)
}

// got tells what came, and what a user may want to know of it.
func (a *app) got(d download) error {
	if a.json {
		return a.object(d)
	}
	if d.Path != "-" && !takesBytes(d.Path) {
		a.printf("%s  %s, version %d by %s, from %s\n", name(d.Path), size(d.File.Size), d.File.Version, name(d.File.Writer), name(d.From))
	}
	if d.OneAnswer {
		a.notef("only one holder of %s answered: there may be a newer version on one that did not", name(d.File.Name))
	}
	var claimed []string
	for _, c := range d.Claimed {
		a.notef("%s", claim(d.File, c))
		claimed = append(claimed, c.Writer)
	}
	for _, writer := range d.AlsoBy {
		if slices.Contains(claimed, writer) {
			continue
		}
		a.notef("there is also a %s by %s: securepeer get --by %s", name(d.File.Name), name(writer), name(writer))
	}
	return nil
}

// claim says that a newer version than the one that came was shown.
func claim(f node.FileInfo, c node.Claim) string {
	say := names(c.Peers) + " say"
	if len(c.Peers) == 1 {
		say = name(c.Peers[0]) + " alone says"
	}
	by := ""
	if c.Writer != f.Writer {
		by = " by " + name(c.Writer)
	}
	return fmt.Sprintf("%s that there is a newer version %d of %s%s; it can't be had now", say, c.Version, name(f.Name), by)
}
