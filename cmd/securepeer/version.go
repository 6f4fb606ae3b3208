package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what version prints.
type build struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

// version is what the build says, as README's does: -X main.version=v1.2.3.
// It is "" if the build says nothing: then thisBuild falls back on the module.
var version string

// thisBuild reads what the linker and the go command wrote into the program.
func thisBuild() build {
	b := build{Schema: "securepeer/version/1", Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	if version != "" {
		b.Version = version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}

func versionCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print which securepeer this is",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if a.json {
				return a.object(b)
			}
			a.printf("securepeer %s", b.Version)
			if b.Commit != "" {
				a.printf(" (%s)", b.Commit)
			}
			a.printf(" %s %s\n", b.Go, b.System)
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}
