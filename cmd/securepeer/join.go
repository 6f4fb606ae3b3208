package main

import "github.com/spf13/cobra"

func joinCommand(a *app) *cobra.Command {
	var opt startOptions
	cmd := &cobra.Command{
		Use:   "join PEER KNOWN_PEER PING_INTERVAL",
		Short: "Start and ask one peer first, in the classic ring's words",
		Long: `Join is start for a peer that comes to a ring which runs. The arguments are
checked against the roster. The interval is in seconds, or as in 500ms.`,
		Example: "  securepeer join 15 4 30",
		GroupID: groupPeer,
		Args:    exactly(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			roster, self, err := a.checkPeer(args[0])
			if err != nil {
				return err
			}
			known, err := a.member(roster, args[1])
			if err != nil {
				return err
			}
			if known.ID == self.ID {
				return usagef("%s cannot join through itself", self.Name)
			}
			opt.contact = known.Name
			if opt.interval, err = parseInterval(args[2]); err != nil {
				return err
			}
			return a.start(cmd.Context(), opt)
		},
	}
	addStartFlags(cmd, a, &opt)
	return cmd
}
