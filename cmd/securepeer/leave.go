package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func leaveCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "leave",
		Aliases: []string{"quit"},
		Short:   "Give this peer's files to the others and leave the ring",
		Long: `Leave gives every file that this peer holds to the peers that are to hold it
from now, and ends the peer when they have confirmed. Local files are not
deleted. If it takes longer than --timeout the command ends, and the peer goes
on with it.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return a.client().Leave(ctx)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait (0: until it is done)")
	return cmd
}
