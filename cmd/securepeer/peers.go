package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/node"
)

func peersCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "Show every member and whether it is there",
		Long: `Peers shows every member of the roster as this machine's peer sees it. A member
that is not in the ring is shown with the reason and for how long:

  unseen         nobody has ever heard of it
  starting       it runs, and has not joined yet
  silent         nothing comes from it
  unsent         this machine can't send to it, or can't find it; the reason is
                 in the last column
  one-way        it is heard and does not hear, or others hear it
  cut            silent, and so are too many to call anybody gone
  stopped        it said so; its files stay there
  leaving, left  it gives its files away, or has
  gone           away for the whole grace, or forgotten: copies are made elsewhere
  out of roster  the roster has a revoke line for it: no link opens for its key`,
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
			a.showMembers(peers.Members, peers.Revoked, nil)
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

// showMembers prints a table of members, with their place among successors if
// these are given, and of those that were members.
func (a *app) showMembers(members []control.Member, revoked []control.Revoked, successors []string) {
	table := a.table()
	table.row("ID", "NAME", "STATE", "FOR", "RTT", "HEARD", "ADDRESS", "KEY")
	for _, m := range members {
		table.row(m.ID, name(m.Name), condition(m), away(m.Why, m.Since), rtt(m), heard(m), name(m.Address), name(m.Key), remarks(m, successors))
	}
	for _, r := range revoked {
		table.row(r.ID, name(r.Name), "out of roster", "-", "-", "-", "-", name(r.Key))
	}
	table.end()
}

// condition is a member's state as seen from here.
func condition(m control.Member) string {
	switch {
	case m.Self:
		return name(m.State) + " (here)"
	case m.Why != "":
		return name(m.Why)
	case m.Suspect:
		return "suspect"
	}
	return name(m.State)
}

// away is for how long a member has been out of the ring.
func away(why string, sinceSeconds float64) string {
	if sinceSeconds <= 0 || why == string(node.WhyUnseen) {
		return "-"
	}
	return span(seconds(sinceSeconds))
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

// slowness says of a slow member how fast files came from it, and went to it.
func slowness(m control.Member) string {
	var rates []string
	if m.Gives > 0 {
		rates = append(rates, "gives "+size(m.Gives)+"/s")
	}
	if m.Takes > 0 {
		rates = append(rates, "takes "+size(m.Takes)+"/s")
	}
	return "slow: " + strings.Join(rates, ", ")
}

func remarks(m control.Member, successors []string) string {
	var list []string
	if i := slices.Index(successors, m.Name); i >= 0 {
		list = append(list, fmt.Sprintf("successor %d", i+1))
	}
	if !m.Gone && len(m.GoneBy) > 0 {
		list = append(list, "gone, says "+names(m.GoneBy)+": one more has to")
	}
	if m.OtherRoster {
		list = append(list, "has another roster")
	}
	if m.Slow {
		list = append(list, slowness(m))
	}
	if m.Steward {
		list = append(list, "steward")
	}
	if m.Drain {
		list = append(list, "drain")
	}
	if m.Refused > 0 {
		list = append(list, fmt.Sprintf("%d refused", m.Refused))
	}
	if m.Problem != "" {
		list = append(list, clean(m.Problem))
	}
	return strings.Join(list, "; ")
}
