package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"securepeer/node"
)

func leaveCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "leave",
		Aliases: []string{"quit"},
		Short:   "Give this peer's files to the others and leave the ring",
		Long: `Leave gives every file that this peer holds to the peers that are to hold it
from now, and ends the peer when they have confirmed. Local files are not
deleted. If it takes longer than --timeout, or is interrupted, the command ends,
and the peer goes on with it; securepeer stop ends the peer without that.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			a.interrupts.stand("the peer goes on with it; securepeer stop ends it")
			ended, err := a.client().Leave(ctx)
			switch {
			case errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil:
				return a.stillLeaving(cmd.Context(), timeout)
			case err != nil:
				return err
			}
			a.interrupts.stand("the peer has left")
			if !a.json {
				return nil
			}
			return a.object(ended)
		},
	}
	addDuration(cmd.Flags(), &timeout, "timeout", "how long to wait (0: until it is done)")
	addJSON(cmd, a)
	return cmd
}

// statusWait is how long the peer is asked who keeps it from leaving.
const statusWait = time.Second

// stillLeaving is the error of a leave that takes too long.
func (a *app) stillLeaving(ctx context.Context, waited time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	var lacks []node.Lack
	if peers, err := a.client().Peers(ctx); err == nil { // else why stays untold
		for _, m := range peers.Members {
			reason := node.ReasonOf(m.State, node.Why(m.Why))
			if !m.Self && !m.Gone && reason != node.Awaited && (reason != node.Outside || m.Why == string(node.WhyStopped)) {
				lacks = append(lacks, node.Lack{Peer: name(m.Name), Reason: reason})
			}
		}
	}
	why := ""
	if len(lacks) > 0 {
		why = " (" + strings.Join(node.Lacking(lacks), "; ") + ")"
	}
	return &fault{exitTimeout, "securepeer status shows how far it is; securepeer stop ends the peer without that",
		fmt.Errorf("after %v not all files are with others%s; the peer goes on with it", waited, why)}
}
