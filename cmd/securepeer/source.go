package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"securepeer/internal/control"
)

// source is the bytes of one put, which are read once. Only io.EOF says that
// they are what is to be stored: after another error, also one that comes in
// its place, nothing is.
type source struct {
	io.ReadCloser
	info control.PutInfo
}

// open opens a file to be stored, or standard input, or gets a command ready.
func (a *app) open(file string, opt putOptions) (*source, error) {
	if len(opt.command) > 0 {
		return &source{opt.filled(name(opt.command[0]), a.newChild(opt.command)), control.PutInfo{Size: -1}}, nil
	}
	if file == "-" {
		return &source{opt.filled("standard input", io.NopCloser(a.in)), control.PutInfo{Size: -1}}, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault{exitNotFound, "put takes files of this machine, and - for standard input", err}
	} else if err != nil {
		return nil, &fault{code: exitOther, err: err}
	}
	stat, err := f.Stat()
	if err == nil && stat.IsDir() {
		err = &fault{exitUsage, fmt.Sprintf("tar c %s | securepeer put - --name NAME.tar", name(file)), fmt.Errorf("%s is a folder", name(file))}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	info := control.PutInfo{Size: -1, Mode: uint16(stat.Mode().Perm()), Mtime: stat.ModTime()}
	if !stat.Mode().IsRegular() { // a pipe or device
		return &source{opt.filled(name(file), f), info}, nil
	}
	info.Size = stat.Size()
	return &source{f, info}, nil
}

// filled refuses the end of r if nothing came before it. A pipe whose writer
// has failed, as in false | securepeer put -, gives nothing, and so does one
// whose writer had nothing to say: they can't be told from each other.
func (o putOptions) filled(what string, r io.ReadCloser) io.ReadCloser {
	if o.allowEmpty {
		return r
	}
	return &filled{ReadCloser: r, what: what}
}

type filled struct {
	io.ReadCloser
	what string
	some bool // a byte has come
}

func (f *filled) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.some = f.some || n > 0
	if err == io.EOF && !f.some {
		err = &fault{exitOther, "--allow-empty stores an empty file; --from-command -- COMMAND stores only what a command that succeeds has written",
			fmt.Errorf("%s gave no byte: nothing is stored", f.what)}
	}
	return n, err
}
