package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
)

func putCommand(a *app) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:     "put FILE...",
		Aliases: []string{"store"},
		Short:   "Store files in the ring",
		Long: `Put stores each file under its base name, or one under the name of --name. It
returns when all copies are on disk: as many as the roster's copies, or one on
every member if there are fewer. With fewer copies than that the file is stored
all the same, and the exit code is 3. FILE - is standard input, and needs --name.`,
		Example: `  securepeer put thesis.tar
  tar c notes | securepeer put - --name backup/notes.tar`,
		GroupID: groupFiles,
		Args: func(cmd *cobra.Command, args []string) error {
			switch named := cmd.Flags().Changed("name"); {
			case len(args) == 0:
				return errors.New("put needs a FILE, or - for standard input")
			case named && len(args) > 1:
				return errors.New("--name is for one FILE")
			case !named && hasStdin(args):
				return errors.New("standard input needs a name: --name NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client := a.client()
			return a.each(args, func(file string) error {
				stored := filepath.Base(file)
				if cmd.Flags().Changed("name") {
					stored = as
				}
				return a.put(cmd.Context(), client, file, stored)
			})
		},
	}
	cmd.Flags().StringVar(&as, "name", "", "the file's `NAME` in the ring")
	addJSON(cmd, a)
	return cmd
}

func hasStdin(files []string) bool {
	for _, f := range files {
		if f == "-" {
			return true
		}
	}
	return false
}

// each does the same with several things: one that fails does not keep the
// others from being done. If only some fail, that is partly done.
func (a *app) each(args []string, do func(string) error) error {
	if len(args) == 1 {
		return do(args[0])
	}
	var last error
	same, failed := true, 0
	for _, arg := range args {
		err := do(arg)
		if exitOf(err) == exitInterrupted {
			return err
		}
		if err != nil {
			if _, ok := err.(told); !ok {
				a.fail(err)
			}
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
	}
	return told(exitPartial)
}

func (a *app) put(ctx context.Context, client *control.Client, file, stored string) error {
	f, info, err := a.open(file)
	if err != nil {
		return err
	}
	defer f.Close() // read only: closing loses nothing
	bar := a.progress(stored, info.Size)
	result, err := client.Put(ctx, stored, info, countedReader{f, bar})
	bar.done()
	if err != nil {
		return err
	}
	return a.stored(result, "stored")
}

// open opens a file to be stored, or standard input.
func (a *app) open(file string) (io.ReadCloser, control.PutInfo, error) {
	if file == "-" {
		return io.NopCloser(a.in), control.PutInfo{Size: -1}, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, control.PutInfo{}, &fault{exitNotFound, "put takes files of this machine, and - for standard input", err}
	} else if err != nil {
		return nil, control.PutInfo{}, &fault{code: exitOther, err: err}
	}
	stat, err := f.Stat()
	if err == nil && stat.IsDir() {
		err = &fault{exitUsage, fmt.Sprintf("tar c %s | securepeer put - --name NAME.tar", name(file)), fmt.Errorf("%s is a folder", name(file))}
	}
	if err != nil {
		f.Close()
		return nil, control.PutInfo{}, err
	}
	info := control.PutInfo{Size: -1, Mode: uint16(stat.Mode().Perm()), Mtime: stat.ModTime()}
	if stat.Mode().IsRegular() { // else a pipe or device, of unknown length
		info.Size = stat.Size()
	}
	return f, info, nil
}

// stored tells where a file, or its removal, is; done is what was done.
func (a *app) stored(r control.PutResult, done string) error {
	if a.json {
		if err := a.object(r); err != nil {
			return err
		}
	} else {
		a.printf("%s  %s, version %d, %s: %s\n", name(r.Name), done, r.Version, copies(len(r.Copies)), names(r.Copies))
	}
	if len(r.Copies) >= r.Wanted {
		return nil
	}
	if err := a.flush(); err != nil { // the result before what is to be said of it
		return err
	}
	a.notef("%s is %s, but on %d of %d peers", name(r.Name), done, len(r.Copies), r.Wanted)
	a.hintf("the ring makes the missing copies when it can; securepeer stat shows them")
	return told(exitPartial)
}
