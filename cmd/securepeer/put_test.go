package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"securepeer/internal/control"
	"securepeer/node"
)

// TestRemarks: what is said of a version that others do not get, and of a number
// that nobody expects; of others nothing.
func TestRemarks(t *testing.T) {
	for want, r := range map[string]node.PutResult{
		"": {},
		"ab is stored, but version 2 is newer: that one is what others get":                     {Newer: 2},
		"ab is stored, but version 2, which is newer, has removed it":                           {Newer: 2, NewerRemoved: true},
		"version 1 of ab is numbered above any that dave \"\\ne\" may have, who did not answer": {Above: []string{"dave", "\ne"}},
	} {
		var out, errs bytes.Buffer
		a := &app{console: &console{out: bufio.NewWriter(&out), err: &errs}}
		r.Name, r.Version = "ab", 1
		if err := a.stored(control.PutResult{PutResult: r}, "stored"); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(errs.String(), "securepeer: "), "\n"); got != want {
			t.Errorf("%+v: said %q, want %q", r, got, want)
		}
	}
}

// TestPartlyDoneIsDoneInPart: several things that all failed, each for another
// reason, are not "partly done". (Row 33: exit codes.)
func TestPartlyDoneIsDoneInPart(t *testing.T) {
	missing, wrong := told(exitNotFound), told(exitUsage)
	for _, test := range []struct {
		results []error
		want    exitCode
	}{
		{[]error{nil, nil}, exitOK},
		{[]error{nil, missing}, exitPartial},
		{[]error{missing, nil}, exitPartial},
		{[]error{told(exitPartial), missing}, exitPartial},
		{[]error{missing, told(exitPartial), missing}, exitPartial},
		{[]error{missing, missing}, exitNotFound},
		{[]error{missing, wrong}, exitOther},
		{[]error{wrong, missing, missing}, exitOther},
	} {
		a := &app{console: &console{err: new(bytes.Buffer)}}
		i := -1
		err := a.each([]string{"a", "b", "c"}[:len(test.results)], func(string) error {
			i++
			return test.results[i]
		})
		if got := exitOf(err); got != test.want {
			t.Errorf("%v: exit %d, want %d", test.results, got, test.want)
		}
	}
}
