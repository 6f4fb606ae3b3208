package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
)

func rmCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove files from the ring",
		Long: `Rm removes files that this peer has put, or, if its roster line says
role=steward, anybody's. The names may be used again.`,
		GroupID: groupFiles,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misused(cmd, args)
			}
			return nil
		},
		ValidArgsFunction: a.completeFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := a.client()
			var once []string // a name that is given twice is removed all the same
			for _, arg := range args {
				if !slices.Contains(once, arg) {
					once = append(once, arg)
				}
			}
			return a.each(once, func(stored string) error { return a.rm(cmd.Context(), client, stored) })
		},
	}
	addJSON(cmd, a)
	return cmd
}

func (a *app) rm(ctx context.Context, client *control.Client, stored string) error {
	a.interrupts.stand("%s", mayBe(stored, "removed"))
	bar := a.progress(stored, 0)
	progress := bar.follow(ctx, client, bar.waits)
	bar.start()
	result, err := client.Remove(ctx, stored, progress)
	bar.done()
	switch {
	case wasInterrupted(err):
		return err
	case err != nil:
		a.interrupts.stand("")
		return a.spelled(ctx, client, stored, err)
	}
	return a.stored(result, "removed")
}
