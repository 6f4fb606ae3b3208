package main

import (
	"context"
	"iter"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/keys"
	"securepeer/node"
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
	return offer(wordsOf(roster.Members, func(m keys.Member) string { return m.Name }))
}

// completePeer completes a member that the running peer knows.
func (a *app) completePeer(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	peers, err := a.client().Peers(ctx)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(wordsOf(peers.Members, func(m control.Member) string { return m.Name }))
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
	return offer(wordsOf(files.Files, func(f node.FileInfo) string { return f.Name }))
}

// helpMarker begins what the shell shows as a hint of the program's own when
// it stands among completions.
const helpMarker = "_activeHelp_"

// plainWord is what no shell reads as more than one word, or as something else
// than it says. A word that a completion script inserts is read again by the shell,
// at the next Tab already: bash, zsh and PowerShell evaluate the line. So not
//
//   - what quotes, expands, substitutes, redirects or separates in any of them,
//     as $ ` " ' \ * ? [ { ( ; & | < > # ! ^ ~ and blanks,
//   - a comma, which makes a list in PowerShell,
//   - at the beginning - + (flags), ~ (a home), = (zsh's =command), @ (PowerShell's
//     splatting), % (fish's jobs),
//   - a letter outside ASCII: quotes of PowerShell lie there, and bytes that are
//     blanks in other locales.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._/][A-Za-z0-9._/+:=@%-]*$`)

// completable reports whether word may be offered to a shell.
func completable(word string) bool {
	return plainWord.MatchString(word) && !strings.HasPrefix(word, helpMarker)
}

// offer returns those words that may be offered, without descriptions, and
// keeps the shell from offering files of its own beside them.
func offer(words iter.Seq[string]) ([]string, cobra.ShellCompDirective) {
	var list []string
	for word := range words {
		if completable(word) {
			list = append(list, word)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// wordsOf returns what of gives for each of list.
func wordsOf[T any](list []T, of func(T) string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, e := range list {
			if !yield(of(e)) {
				return
			}
		}
	}
}
