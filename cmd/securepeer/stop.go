package main

import "github.com/spf13/cobra"

func stopCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop this machine's peer; its files stay",
		Long: `Stop ends the peer and tells the others. Its files stay on its disk, and the
others go on without it; what they store meanwhile it is given when it comes
back. If it stays away for the grace of the roster it is gone: its copies are
made elsewhere. Stop returns when the peer has ended.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.interrupts.stand("the peer may end all the same: securepeer status shows whether it runs")
			ended, err := a.client().Stop(cmd.Context())
			if err != nil {
				return err
			}
			a.interrupts.stand("the peer has ended")
			if !a.json {
				return nil
			}
			return a.object(ended)
		},
	}
	addJSON(cmd, a)
	return cmd
}
