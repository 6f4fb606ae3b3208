package main

import (
	"slices"

	"github.com/spf13/cobra"
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
			return a.each(once, func(stored string) error {
				a.interrupts.stand("%s", mayBe(stored, "removed"))
				result, err := client.Remove(cmd.Context(), stored)
				if err != nil && !wasInterrupted(err) {
					a.interrupts.stand("%s is not removed", name(stored))
				}
				if err != nil {
					return a.spelled(cmd.Context(), client, stored, err)
				}
				return a.stored(result, "removed")
			})
		},
	}
	addJSON(cmd, a)
	return cmd
}
