package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
)

// watchEvery is how often ring --watch looks: as the classic reporter.
const watchEvery = time.Second

func ringCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "ring",
		Short: "Show each peer between its neighbours",
		Long: `Ring shows, for each peer of the ring as this machine's peer computes it, its two
predecessors, itself and its two successors; ?? where there is none. Members
that are not in the ring are listed as unmonitored, with the reason; the help of
securepeer peers tells what the reasons mean.`,
		GroupID: groupRing,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := a.client()
			for {
				ring, err := client.Ring(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.showRing(ring, watch); err != nil || !watch {
					return err
				}
				if !pause(cmd.Context(), watchEvery) {
					return errInterrupted
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "again every second")
	addJSON(cmd, a)
	return cmd
}

// pause waits; not ok: ctx ended first.
func pause(ctx context.Context, d time.Duration) (ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ringRow is one line of the table; an empty name is an unknown neighbour.
type ringRow struct {
	Peer         string   `json:"peer"`
	Predecessors []string `json:"predecessors"` // the nearest last
	Successors   []string `json:"successors"`   // the nearest first
}

// ringTable is the table as JSON.
type ringTable struct {
	Schema      string           `json:"schema"`
	Ring        string           `json:"ring"`
	Self        string           `json:"self"`
	Peers       []ringRow        `json:"peers"`
	Unmonitored []string         `json:"unmonitored"`
	Cut         bool             `json:"cut"`
	Absent      []control.Absent `json:"absent"`
}

// neighbours is how many the table shows on either side.
const neighbours = 2

// ringRows computes the table from the ring's order.
func ringRows(circle []string) []ringRow {
	rows := make([]ringRow, len(circle))
	for i, peer := range circle {
		row := ringRow{Peer: peer, Predecessors: make([]string, neighbours), Successors: make([]string, neighbours)}
		for d := 1; d <= neighbours && d < len(circle); d++ {
			row.Predecessors[neighbours-d] = circle[(i-d+len(circle))%len(circle)]
			row.Successors[d-1] = circle[(i+d)%len(circle)]
		}
		rows[i] = row
	}
	return rows
}

func (a *app) showRing(ring control.Ring, again bool) error {
	rows := ringRows(ring.Circle)
	if a.json {
		if err := a.object(ringTable{ring.Schema, ring.Ring, ring.Self, rows, ring.Unmonitored, ring.Cut, ring.Absent}); err != nil {
			return err
		}
		return a.flush()
	}
	if again && a.screen {
		a.printf("\x1b[H\x1b[2J") // home, clear
	}
	a.printf("%s", ringText(rows, ring.Unmonitored))
	a.showAbsent(ring)
	if again && !a.screen {
		a.printf("\n")
	}
	return a.flush()
}

// showAbsent says why the unmonitored are.
func (a *app) showAbsent(ring control.Ring) {
	table := a.table()
	for _, m := range ring.Absent {
		table.row("  "+name(m.Name), name(m.Why), away(m.Why, m.Since))
	}
	table.end()
	if ring.Cut {
		a.printf("  cut: too many are away at once to call any of them gone by time; securepeer status tells what to do\n")
	}
}

// ringText is the classic reporter's table:
//
//	Peer  2 - 15 > 19 > [ 2] >  4 >  5
//	Unmonitored Peers (1): 15
func ringText(rows []ringRow, unmonitored []string) string {
	width := len(unknownPeer)
	for _, row := range rows {
		width = max(width, len([]rune(name(row.Peer))))
	}
	cell := func(peer string) string {
		if peer == "" {
			peer = unknownPeer
		}
		return fmt.Sprintf("%*s", width, name(peer))
	}
	var b strings.Builder
	for _, row := range rows {
		var cells []string
		for _, p := range row.Predecessors {
			cells = append(cells, cell(p))
		}
		cells = append(cells, "["+cell(row.Peer)+"]")
		for _, p := range row.Successors {
			cells = append(cells, cell(p))
		}
		fmt.Fprintf(&b, "Peer %s - %s\n", cell(row.Peer), strings.Join(cells, " > "))
	}
	if len(unmonitored) > 0 {
		shown := slices.Clone(unmonitored)
		for i, p := range shown {
			shown[i] = name(p)
		}
		fmt.Fprintf(&b, "\nUnmonitored Peers (%d): %s\n", len(shown), strings.Join(shown, ", "))
	}
	return b.String()
}
