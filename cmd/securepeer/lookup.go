package main

import "github.com/spf13/cobra"

func lookupCommand(a *app) *cobra.Command {
	var trace bool
	cmd := &cobra.Command{
		Use:     "lookup NAME",
		Short:   "Show which peers a name belongs to",
		GroupID: groupRing,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := a.client().Lookup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.object(l)
			}
			if trace {
				for i, peer := range l.Path {
					a.printf("%2d  %s\n", i+1, name(peer))
				}
			}
			table := a.table()
			table.row("key", l.Key)
			table.row("owner", name(l.Owner))
			table.row("holders", names(l.Holders))
			table.end()
			return nil
		},
	}
	cmd.Flags().BoolVar(&trace, "trace", false, "show whom the question went to, too")
	addJSON(cmd, a)
	return cmd
}
