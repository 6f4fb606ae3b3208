package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"securepeer/keys"
)

// durationFlag is a flag's duration, which may have days, and is never
// negative.
type durationFlag time.Duration

var _ pflag.Value = (*durationFlag)(nil)

// addDuration gives flags one whose value is d; *d is the default.
func addDuration(flags *pflag.FlagSet, d *time.Duration, name, usage string) {
	flags.Var((*durationFlag)(d), name, usage)
}

// String is "" for zero, which pflag shows as no default.
func (d *durationFlag) String() string {
	if *d == 0 {
		return ""
	}
	return keys.FormatDuration(time.Duration(*d))
}

func (d *durationFlag) Set(text string) error {
	v, err := keys.ParseDuration(text)
	if err != nil || v < 0 {
		return errors.New("it takes a duration, as in 500ms, 10s, 5m or 3d12h")
	}
	*d = durationFlag(v)
	return nil
}

// Type is what the help shows for the value.
func (d *durationFlag) Type() string { return "duration" }
