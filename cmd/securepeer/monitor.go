package main

import (
	"github.com/spf13/cobra"

	"securepeer/internal/control"
)

func monitorCommand(a *app) *cobra.Command {
	var pings bool
	cmd := &cobra.Command{
		Use:     "monitor",
		Short:   "Follow what happens at this machine's peer",
		GroupID: groupRing,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			events, err := a.client().Watch(cmd.Context(), control.Pings(pings))
			if err != nil {
				return err
			}
			for e, err := range events {
				if err != nil {
					return err
				}
				if err := a.show(e); err != nil {
					return err
				}
			}
			a.notef("the peer has ended")
			return nil
		},
	}
	cmd.Flags().BoolVar(&pings, "pings", false, "show pings, too")
	addJSON(cmd, a)
	return cmd
}

// show prints an event, at once.
func (a *app) show(e control.Event) error {
	if a.json {
		if err := a.object(e); err != nil {
			return err
		}
		return a.flush()
	}
	if text, _, ok := sentence(e); ok {
		a.printf("%s\n", text)
	}
	return a.flush()
}
