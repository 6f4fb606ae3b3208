package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
)

func peersCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "peers",
		Short:   "Show every member and whether it is there",
		GroupID: groupRing,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			peers, err := a.client().Peers(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.object(peers)
			}
			a.showMembers(peers.Members, nil)
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

// showMembers prints a table of members, with their place among successors if
// these are given.
func (a *app) showMembers(members []control.Member, successors []string) {
	table := a.table()
	table.row("ID", "NAME", "STATE", "RTT", "HEARD", "ADDRESS", "KEY")
	for _, m := range members {
		table.row(m.ID, name(m.Name), condition(m), rtt(m), heard(m), name(m.Address), name(m.Key), remarks(m, successors))
	}
	table.end()
}

// condition is a member's state as seen from here.
func condition(m control.Member) string {
	switch {
	case m.Self:
		return name(m.State) + " (here)"
	case m.Unreachable:
		return "unreachable"
	case m.Suspect:
		return "suspect"
	}
	return name(m.State)
}

func rtt(m control.Member) string {
	if m.RTT <= 0 {
		return "-"
	}
	return span(seconds(m.RTT))
}

func heard(m control.Member) string {
	if m.Self || m.Silence < 0 {
		return "-"
	}
	return span(seconds(m.Silence)) + " ago"
}

func remarks(m control.Member, successors []string) string {
	var list []string
	if i := slices.Index(successors, m.Name); i >= 0 {
		list = append(list, fmt.Sprintf("successor %d", i+1))
	}
	if m.OtherRoster {
		list = append(list, "has another roster")
	}
	if m.Steward {
		list = append(list, "steward")
	}
	if m.Drain {
		list = append(list, "drain")
	}
	if m.Problem != "" {
		list = append(list, clean(m.Problem))
	}
	return strings.Join(list, "; ")
}
