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
	info  control.PutInfo
	whole *wholeFile // the reader of a regular file; nil: any size will do
}

// open opens a file to be stored, or standard input, or gets a command ready.
func (a *app) open(file string, opt putOptions) (*source, error) {
	if len(opt.command) > 0 {
		return &source{ReadCloser: opt.filled(name(opt.command[0]), a.newChild(opt.command))}, nil
	}
	if file == "-" {
		return a.openStdin(opt)
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
	info := control.PutInfo{Mode: uint16(stat.Mode().Perm()), Mtime: stat.ModTime()}
	if !stat.Mode().IsRegular() { // a pipe or device
		return &source{ReadCloser: opt.filled(name(file), f), info: info}, nil
	}
	return openRegular(f, 0, info, opt)
}

// openStdin is open for standard input, which may be a file as well.
func (a *app) openStdin(opt putOptions) (*source, error) {
	f, ok := a.in.(*os.File)
	if ok {
		stat, err := f.Stat()
		ok = err == nil && stat.Mode().IsRegular()
	}
	if !ok {
		return &source{ReadCloser: opt.filled(stdinName, io.NopCloser(a.in))}, nil
	}
	start, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	src, err := openRegular(f, start, control.PutInfo{}, opt)
	if err == nil {
		src.ReadCloser = opt.filled(stdinName, io.NopCloser(src.ReadCloser)) // it may be read again
	}
	return src, err
}

// openRegular is open for a file that is read from start on. An error closes
// it.
func openRegular(f *os.File, start int64, info control.PutInfo, opt putOptions) (*source, error) {
	if opt.asIs {
		return &source{ReadCloser: f, info: info}, nil
	}
	w, err := newWholeFile(f, start)
	if err != nil {
		f.Close()
		return nil, err
	}
	if w.before.size <= start { // as of the files in /proc, which have bytes all the same
		return &source{ReadCloser: &unstated{w}, info: info}, nil
	}
	info.Size = w.before.size - start
	if !info.Mtime.IsZero() {
		info.Mtime = w.before.mtime
	}
	return &source{ReadCloser: w, info: info, whole: w}, nil
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
