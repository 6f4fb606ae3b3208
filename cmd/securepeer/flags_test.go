package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestDurationFlags(t *testing.T) {
	for text, want := range map[string]time.Duration{"3d12h": 84 * time.Hour, "90s": 90 * time.Second, "0": 0} {
		got := time.Minute
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		addDuration(flags, &got, "for", "how long")
		if shown := flags.Lookup("for").DefValue; shown != "1m" {
			t.Errorf("the default is shown as %q, want 1m", shown)
		}
		if err := flags.Parse([]string{"--for", text}); err != nil || got != want {
			t.Errorf("--for %s = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "soon", "5", "-5m", "9999999d"} {
		d := time.Minute
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		addDuration(flags, &d, "for", "how long")
		if err := flags.Parse([]string{"--for=" + text}); err == nil || d != time.Minute {
			t.Errorf("--for=%s = %v, %v, want it refused", text, d, err)
		}
	}
}
