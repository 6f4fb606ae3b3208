package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/node"
)

// putOptions are the flags of put.
type putOptions struct {
	as          string   // the name in the ring, if named
	named       bool     // else it is the base name
	command     []string // whose output is stored, instead of a file
	fromCommand bool
	allowEmpty  bool
	asIs        bool // whatever happens to the file meanwhile
}

func putCommand(a *app) *cobra.Command {
	var opt putOptions
	cmd := &cobra.Command{
		Use:     "put FILE...",
		Aliases: []string{"store"},
		Short:   "Store files in the ring",
		Long: `Put stores each file under its base name, or one under the name of --name. It
returns when all copies are on disk: as many as the roster's copies, or one on
every member if there are fewer. With fewer copies than that the file is stored
all the same, and the exit code is 3. FILE - is standard input, and needs --name.

A file that is changed while it is read is read once more, and refused if that
happens again; --as-is stores what was read. Of one that only grows, as a log,
put stores what it was at the beginning.

A pipe does not say whether the program before it has failed. With
--from-command put runs the program behind -- itself, and stores its output only
if it ends with 0: all of it, also what programs write that it has left behind,
until they close it. A file that has no name, as /dev/stdin or <(COMMAND), needs
--name. Standard input, a pipe or a command that gives no byte at all
is refused unless --allow-empty.`,
		Example: `  securepeer put thesis.tar
  securepeer put --name backup/db.sql --from-command -- pg_dump db
  tar c notes | securepeer put - --name backup/notes.tar`,
		GroupID: groupFiles,
		Args:    func(cmd *cobra.Command, args []string) error { return opt.check(cmd, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if opt.fromCommand {
				opt.command, args = args, []string{args[0]}
			}
			client := a.client()
			return a.each(args, func(file string) error { return a.put(cmd.Context(), client, file, opt) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.as, "name", "", "the file's `NAME` in the ring")
	flags.BoolVar(&opt.fromCommand, "from-command", false, "store what the command behind -- writes, if it ends with 0")
	flags.BoolVar(&opt.allowEmpty, "allow-empty", false, "store an empty file if standard input, a pipe or the command gives nothing")
	flags.BoolVar(&opt.asIs, "as-is", false, "store what was read of a file that is changed meanwhile")
	addJSON(cmd, a)
	return cmd
}

// check completes o, and refuses arguments that say too little, or two things at once.
func (o *putOptions) check(cmd *cobra.Command, args []string) error {
	o.named = cmd.Flags().Changed("name")
	switch dash := cmd.ArgsLenAtDash(); {
	case o.fromCommand && (dash != 0 || len(args) == 0):
		return errors.New("--from-command needs a command behind --, and no FILE, as in: securepeer put --name db.sql --from-command -- pg_dump db")
	case o.fromCommand && !o.named:
		return errors.New("the output of a command needs a name: --name NAME")
	case o.fromCommand:
		return nil
	case slices.Contains(args, ""): // as of a variable that is not set
		return errors.New("put: a FILE is given, and empty")
	case len(args) == 0:
		return errors.New("put needs a FILE, or - for standard input")
	case o.named && len(args) > 1:
		return errors.New("--name is for one FILE")
	case !o.named && slices.Contains(args, "-"):
		return errors.New("standard input needs a name: --name NAME")
	case o.named:
		return nil
	}
	if i := slices.IndexFunc(args, nameless); i >= 0 {
		return fmt.Errorf("%s says nothing of what is in it, and needs a name: --name NAME", name(args[i]))
	}
	files := make(map[string]string) // by the name in the ring
	for _, file := range args {
		stored := filepath.Base(file)
		if other, ok := files[stored]; ok {
			return fmt.Errorf("%s and %s would both be stored as %s: put them one by one, with --name", name(other), name(file), name(stored))
		}
		files[stored] = file
	}
	return nil
}

// nameless reports whether path is a number that a shell has given to an open
// file, or a word for one, as of <(COMMAND).
func nameless(path string) bool {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return slices.ContainsFunc([]string{"/dev/std*", "/dev/fd/*", "/proc/*/fd/*", "/proc/*/task/*/fd/*"}, func(pattern string) bool {
		ok, _ := filepath.Match(pattern, path)
		return ok
	})
}

// each does the same with several things: one that fails does not keep the
// others from being done. If only some fail, that is partly done.
func (a *app) each(args []string, do func(string) error) error {
	if len(args) == 1 {
		return do(args[0])
	}
	var last error
	same, failed, some := true, 0, false
	for i, arg := range args {
		a.interrupts.rest.Store(int32(len(args) - i - 1))
		err := do(arg)
		if wasInterrupted(err) {
			return err
		}
		if err != nil {
			if _, ok := err.(told); !ok {
				a.fail(err)
			}
			some = some || exitOf(err) == exitPartial
			same = same && (last == nil || exitOf(last) == exitOf(err))
			last = err
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case failed == len(args) && same:
		return told(exitOf(last))
	case failed == len(args) && !some: // each for another reason, and none is done
		return told(exitOther)
	}
	return told(exitPartial)
}

func (a *app) put(ctx context.Context, client *control.Client, file string, opt putOptions) error {
	stored := filepath.Base(file)
	if opt.named {
		stored = opt.as
	}
	a.interrupts.stand("%s is as it was: nothing of this put is stored", name(stored))
	return a.read(file, opt, func(src *source) error {
		bar := a.progress(stored, src.info.Size)
		bar.last = "waiting for the copies"
		src.info.Progress = bar.follow(ctx, client, bar.at)
		bar.start()
		all := func() { a.interrupts.stand("%s", mayBe(stored, "stored")) }
		result, err := client.Put(ctx, stored, src.info, &putBody{src, bar, inputName(file), all})
		bar.done()
		if err != nil {
			return err
		}
		if src.whole != nil {
			result.Grown = src.whole.grown
		}
		err = a.stored(result, "stored")
		if result.Grown > 0 {
			a.notef("%s grew while it was read: stored is what it was at the beginning, %s", inputName(file), size(src.info.Size))
		}
		return err
	})
}

// putBody is the bytes of a put. It tells a progress when they are waited for, and
// calls end before it gives io.EOF: from there on they may be stored, whether the
// user waits for it or not.
type putBody struct {
	io.Reader
	bar  *progress
	name string // in words
	end  func()
}

func (b *putBody) Read(p []byte) (int, error) {
	b.bar.busy(b.name)
	n, err := b.Reader.Read(p)
	b.bar.busy("")
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// mayBe says that only the ring knows whether a file was stored, or removed.
func mayBe(file, done string) string {
	return fmt.Sprintf("%s may be %s or not: securepeer stat %s shows it", name(file), done, name(file))
}

// stored tells where a file, or its removal, is; done is what was done.
func (a *app) stored(r control.PutResult, done string) error {
	a.interrupts.stand("%s is %s", name(r.Name), done)
	if a.json {
		if err := a.object(r); err != nil {
			return err
		}
	} else {
		a.printf("%s  %s, version %d, %s: %s\n", name(r.Name), done, r.Version, copies(len(r.Copies)), names(r.Copies))
	}
	if err := a.flush(); err != nil { // the result before what is to be said of it
		return err
	}
	a.remark(r.PutResult, done)
	if len(r.Copies) >= r.Wanted {
		return nil
	}
	a.notef("%s is %s, but on %d of %d peers", name(r.Name), done, len(r.Copies), r.Wanted)
	if len(r.Slow) > 0 {
		a.notef("far slower than the others, and not waited for: %s; securepeer status shows how fast", names(r.Slow))
	}
	if others := slices.DeleteFunc(slices.Clone(r.Missing), func(m string) bool { return slices.Contains(r.Slow, m) }); len(others) > 0 {
		a.notef("it belongs on %s, too", names(others))
	}
	for _, why := range node.Lacking(slices.DeleteFunc(slices.Clone(r.Lacks), func(l node.Lack) bool { return l.Reason == node.Slow || l.Reason == node.Unsent })) {
		a.notef("%s", why) // those that are slow, and what this machine lacks, are told by themselves
	}
	if r.Own != "" {
		a.notef("%s", clean(r.Own))
	}
	a.hintf("the ring makes the missing copies when it can; securepeer stat shows them")
	return told(exitPartial)
}

// remark says of a version why it is not what others get, and why its number is
// higher than anybody expects.
func (a *app) remark(r node.PutResult, done string) {
	switch {
	case r.NewerRemoved:
		a.notef("%s is %s, but version %d, which is newer, has removed it", name(r.Name), done, r.Newer)
	case r.Newer != 0:
		a.notef("%s is %s, but version %d is newer: that one is what others get", name(r.Name), done, r.Newer)
	}
	if len(r.Above) > 0 {
		a.notef("version %d of %s is numbered above any that %s may have, who did not say", r.Version, name(r.Name), names(r.Above))
	}
}
