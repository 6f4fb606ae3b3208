package main

import "github.com/spf13/cobra"

func stopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop this machine's peer; its files stay",
		Long: `Stop ends the peer and tells the others. Its files stay on its disk, and the
others go on without it; what they store meanwhile it is given when it comes
back. It returns when the peer has ended.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.client().Stop(cmd.Context()) },
	}
}
