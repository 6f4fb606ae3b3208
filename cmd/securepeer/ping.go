package main

import (
	"time"

	"github.com/spf13/cobra"
)

func pingCommand(a *app) *cobra.Command {
	var times int
	cmd := &cobra.Command{
		Use:               "ping PEER",
		Short:             "Ask a peer for a sign of life, over the encrypted link",
		GroupID:           groupRing,
		Args:              exactly(1),
		ValidArgsFunction: a.completePeer,
		RunE: func(cmd *cobra.Command, args []string) error {
			if times < 1 {
				return usagef("-c takes a number from 1, not %d", times)
			}
			client := a.client()
			for n := range times {
				if n > 0 && !pause(cmd.Context(), time.Second) {
					return errInterrupted
				}
				pong, err := client.Ping(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					err = a.object(pong)
				} else {
					a.printf("%s  %s\n", name(pong.Peer), span(seconds(pong.RTT)))
				}
				if err != nil {
					return err
				}
				if err := a.flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&times, "count", "c", 1, "how `MANY` pings, one a second")
	addJSON(cmd, a)
	return cmd
}
