package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"securepeer/node"
)

func lsCommand(a *app) *cobra.Command {
	var long bool
	cmd := &cobra.Command{
		Use:               "ls [PREFIX]",
		Short:             "List the files in the ring",
		Long:              `Ls lists the names of all files, or of those that begin with PREFIX, one a line.`,
		GroupID:           groupFiles,
		Args:              atMostOne,
		ValidArgsFunction: a.completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			prefix := ""
			if len(args) == 1 {
				prefix = args[0]
			}
			client := a.client()
			files, err := client.List(cmd.Context(), prefix)
			if err != nil {
				return err
			}
			if a.json {
				return a.object(files)
			}
			sizes := sizesOf(files.Files)
			table := a.table()
			for i, f := range files.Files {
				if long {
					table.row(sizes[i], f.Mtime.Local().Format(time.DateTime), name(f.Writer), name(f.Name))
				} else {
					table.row(name(f.Name))
				}
			}
			table.end()
			if len(files.Silent) > 0 {
				a.notef("no answer from %s: files that only they have are not listed", names(files.Silent))
			}
			for _, u := range files.Failed {
				a.notef("%s: %s that only %s has are not listed", clean(u.Why), those(u), name(u.Peer))
			}
			if len(files.Files) == 0 {
				return a.otherPrefix(cmd.Context(), client, prefix)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "with size, time and writer")
	addJSON(cmd, a)
	return cmd
}

// those are what is not listed of a member's files.
func those(u node.Unheard) string {
	if u.Files > 0 {
		return "those"
	}
	return "files"
}

// sizesOf returns the files' sizes, one below the other.
func sizesOf(files []node.FileInfo) []string {
	sizes, width := make([]string, len(files)), 0
	for i, f := range files {
		sizes[i] = size(f.Size)
		width = max(width, len(sizes[i]))
	}
	for i, s := range sizes {
		sizes[i] = fmt.Sprintf("%*s", width, s)
	}
	return sizes
}
