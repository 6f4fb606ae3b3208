package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"securepeer/keys"
)

func initCommand(a *app) *cobra.Command {
	var opt startOptions
	cmd := &cobra.Command{
		Use:   "init PEER FIRST_SUCCESSOR SECOND_SUCCESSOR PING_INTERVAL",
		Short: "Start, in the classic ring's words",
		Long: `Init is start for a peer that is in the ring from the beginning. The arguments
are checked against the roster, which is what counts. Nothing is printed before
the two successors are there. The interval is in seconds, or as in 500ms.`,
		Example: "  securepeer init 2 4 5 30",
		GroupID: groupPeer,
		Args:    exactly(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			roster, self, err := a.checkPeer(args[0])
			if err != nil {
				return err
			}
			first, err := a.member(roster, args[1])
			if err != nil {
				return err
			}
			second, err := a.member(roster, args[2])
			if err != nil {
				return err
			}
			if distance(roster, self, first) > distance(roster, self, second) {
				return usagef("going round the ring from %s, %s comes before %s", self.Name, second.Name, first.Name)
			}
			if opt.interval, err = parseInterval(args[3]); err != nil {
				return err
			}
			for _, m := range []keys.Member{first, second} {
				// In a ring of one or two the way comes round to the peer itself.
				if m.ID != self.ID && !slices.Contains(opt.quiet, m.Name) {
					opt.quiet = append(opt.quiet, m.Name)
				}
			}
			return a.start(cmd.Context(), opt)
		},
	}
	addStartFlags(cmd, a, &opt)
	return cmd
}

// checkPeer reads the roster and holds the argument PEER against this
// machine's line in it.
func (a *app) checkPeer(peer string) (*keys.Roster, keys.Member, error) {
	_, roster, self, err := a.identity()
	if err != nil {
		return nil, self, err
	}
	named, err := a.member(roster, peer)
	if err != nil {
		return nil, self, err
	}
	if named.ID != self.ID {
		return nil, self, usagef("by %s the key in %s is that of %s, not of %s", a.rosterPath(), a.keyPath(), self.Name, named.Name)
	}
	return roster, self, nil
}

// distance is how far it is from one member to another, less one, so that the
// way round to itself is the longest.
func distance(roster *keys.Roster, from, to keys.Member) uint64 {
	return (uint64(to.Pos) - uint64(from.Pos) - 1) << (64 - roster.Space) >> (64 - roster.Space)
}

// parseInterval reads seconds, or a duration with its unit.
func parseInterval(text string) (time.Duration, error) {
	d, err := keys.ParseDuration(text)
	if err != nil {
		var n uint64
		n, err = strconv.ParseUint(text, 10, 16)
		d = time.Duration(n) * time.Second
	}
	if err != nil || d <= 0 {
		return 0, &fault{exitUsage, "", fmt.Errorf("%q is no ping interval: it is a number of seconds, or as in 500ms", text)}
	}
	return d, nil
}
