package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"securepeer/internal/control"
	"securepeer/node"
)

func statCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "stat NAME",
		Short:             "Show a file and who holds its copies",
		GroupID:           groupFiles,
		Args:              exactly(1),
		ValidArgsFunction: a.completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			client := a.client()
			stat, err := client.Stat(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				err = a.object(stat)
			} else {
				a.showStat(stat)
			}
			if err != nil {
				return err
			}
			return a.spelled(cmd.Context(), client, stat.Name, absent(stat))
		},
	}
	addJSON(cmd, a)
	return cmd
}

func (a *app) showStat(stat control.Stat) {
	a.printf("%s  key %d\n", name(stat.Name), stat.Key)
	if f := stat.Newest; f != nil && !f.Removed {
		a.printf("%s by %s, %s, %s, mode %04o\n", versionOf(*f), name(f.Writer), size(f.Size), f.Mtime.Local().Format(time.DateTime), f.Mode)
	}
	if f := stat.Newest; f != nil {
		a.printf("%s %s, by the clock of %s\n", made(*f), f.Made.Local().Format(time.DateTime), name(f.Signer))
	}
	table := a.table()
	for _, h := range stat.Holders {
		table.row(name(h.Peer), place(h), holds(h))
	}
	table.end()
	if f := stat.Newest; stat.OnlyBy != "" && f != nil {
		a.notef("%s alone says that it has version %d by %s", name(stat.OnlyBy), f.Version, name(f.Writer))
	}
}

// absent is the error that a get of the file would end with, if nobody has it.
func absent(stat control.Stat) error {
	if stat.Newest != nil && !stat.Newest.Removed {
		return nil
	}
	var own []string
	missing := &node.UnavailableError{Name: stat.Name}
	for _, h := range stat.Holders {
		switch {
		case h.Own != "":
			own = append(own, clean(h.Own))
		case h.Reason != "":
			missing.Lacks = append(missing.Lacks, node.Lack{Peer: h.Peer, Reason: h.Reason})
		}
	}
	why, hint := append(own, node.Lacking(missing.Lacks)...), hintOf(control.Explain(missing))
	if len(own) > 0 {
		hint = "securepeer status says what this machine lacks"
	}
	if len(why) > 0 {
		return &fault{exitUnavailable, hint, fmt.Errorf("nobody has %q as far as is known; %s", stat.Name, strings.Join(why, "; "))}
	}
	return &fault{exitNotFound, "securepeer ls lists the files; what only a peer that is gone has comes back with it", fmt.Errorf("%q is not in the ring", stat.Name)}
}

func place(h node.HolderStat) string {
	if h.Home {
		return "home holder"
	}
	return "stand-in"
}

// holds says what a holder has, as far as it said.
func holds(h node.HolderStat) string {
	var has []string
	for _, f := range h.Versions {
		by := f.Writer
		if f.Removed { // maybe by a steward
			by = f.Signer
		}
		has = append(has, versionOf(f)+" by "+name(by))
	}
	switch {
	case h.Own != "":
		return clean(h.Own)
	case h.Silent:
		return "no answer"
	case len(has) == 0 && h.Behind:
		return "nothing yet: it is catching up"
	case h.Reason != "" && !h.Behind:
		has = append(has, h.Reason.Says("it"))
	case len(has) == 0:
		return "nothing"
	}
	return strings.Join(has, ", ")
}

// made says what was done at the time that the manifest names.
func made(f node.FileInfo) string {
	if f.Removed {
		return "removed"
	}
	return "stored"
}

func versionOf(f node.FileInfo) string {
	if f.Removed {
		return fmt.Sprintf("version %d: removed", f.Version)
	}
	return fmt.Sprintf("version %d", f.Version)
}
