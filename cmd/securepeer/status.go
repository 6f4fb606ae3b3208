package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/node"
)

func statusCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show how this machine's peer is",
		GroupID: groupPeer,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.object(status)
			}
			a.showStatus(status)
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

func (a *app) showStatus(s control.Status) {
	a.printf("%s  peer %d of ring %s  %s  up %s  on %s\n", name(s.Name), s.ID, name(s.Ring), strings.Join(moods(s), ", "), span(seconds(s.Uptime)), name(s.Listen))
	a.printf("roster %s  %s, %s\n", name(s.Roster.Digest), count(len(s.Members), "member"), copies(s.Roster.Copies))
	still := ""
	if s.Store.Counting {
		still = " counted so far"
	}
	a.printf("store  %s, %s%s; %s of %s free\n", count(s.Store.Versions, "version"), size(int64(s.Store.Bytes)), still, size(s.Store.Free), size(s.Store.Total))
	for _, warning := range s.Warnings {
		a.printf("warning  %s\n", clean(warning))
	}
	if s.Cut {
		a.showCut(s)
	}
	if s.Store.Durable == control.DurableUnknown {
		a.printf("store  durable: unknown: %s\n", doubted(s.Store.FileSystem))
	}
	if s.Store.Problem != "" {
		a.printf("store  takes no writes: %s\n", clean(s.Store.Problem))
	}
	for _, x := range s.Store.Unfinished {
		a.printf("store  %s of %s not ended, %s so far\n", count(x.Uploads, "upload"), name(x.Peer), size(int64(x.Bytes)))
	}
	if s.Moving > 0 {
		a.printf("moving %s\n", copies(s.Moving))
	}
	for _, r := range s.Refused {
		who := "" // nobody has said who it is
		if r.Peer != "" {
			who = " of " + name(r.Peer)
		}
		a.printf("refused %d%s: %s\n", r.Count, who, clean(r.Cause))
	}
	a.printf("\n")
	a.showMembers(s.Members, s.Revoked, s.Successors)
}

// doubted says why copies on that file system may not last.
func doubted(fileSystem string) string {
	return fmt.Sprintf("it lies on %s, and copies may not outlive a loss of power; a local ext4, XFS or btrfs keeps them", clean(fileSystem))
}

// showCut says that too many are away, who, and what to do if it is for good.
func (a *app) showCut(s control.Status) {
	var away []string
	for _, m := range s.Members {
		if !m.Self && !m.InRing && !m.Gone && (m.Why == string(node.WhyCut) || m.Why == string(node.WhyStopped) || m.Unreachable) {
			away = append(away, m.Name)
		}
	}
	a.printf("cut    too many are away at once to call any of them gone by time, so only last copies are made anew: %s\n", names(away))
	a.printf("cut    start them, or mend the network; of one that is lost for good: securepeer forget NAME, at two peers\n")
}

// moods is the peer's state and what goes with it.
func moods(s control.Status) []string {
	list := []string{name(s.State)}
	if s.Stopping {
		list = append(list, "stopping")
	}
	if s.Behind {
		list = append(list, "catching up")
	}
	if s.Cut {
		list = append(list, "cut")
	}
	return list
}
