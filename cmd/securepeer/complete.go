package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"securepeer/keys"
)

// completeWait is how long the shell waits for the peer when Tab is pressed.
const completeWait = time.Second

// completeMember completes a name in the roster file.
func (a *app) completeMember(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	roster, err := keys.LoadRoster(a.rosterPath())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, m := range roster.Members {
		list = append(list, m.Name)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completePeer completes a member that the running peer knows.
func (a *app) completePeer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	peers, err := a.client().Peers(ctx)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, m := range peers.Members {
		list = append(list, m.Name)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeFile completes the name of one file in the ring, completeFiles of
// any number.
func (a *app) completeFile(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeFiles(cmd, args, prefix)
}

func (a *app) completeFiles(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	files, err := a.client().List(ctx, prefix)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, f := range files.Files {
		if completable(f.Name) {
			list = append(list, f.Name)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// helpMarker begins what the shell shows as a hint of the program's own when
// it stands among completions.
const helpMarker = "_activeHelp_"

// completable reports whether file may be offered: the shell can type it, and
// takes it for nothing else.
func completable(file string) bool {
	return name(file) == file && !strings.HasPrefix(file, helpMarker)
}
