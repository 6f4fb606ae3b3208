package main

import "github.com/spf13/cobra"

func forgetCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget PEER",
		Short: "Say that a lost peer will not come back, so that its copies are made anew",
		Long: `Forget says what no peer can know: that a member which does not answer is lost.
Without it a silent member is gone after the roster's grace, and never while too
many are silent at once (a cut). It takes two peers' word: run it on another
machine, too, unless this peer is the only one left. Then the others make the
copies that it had, each as soon as it has itself not reached the member for the
grace: so nothing moves for a member that two liars forget. In a cut each that is
forgotten is one less that is away: it may end, and the grace of the others runs.

Nothing is deleted, and no key is refused; but a file that only forgotten peers
had is not in the ring until one of them is back. If the machine comes back it is
let in again and given what it missed; to keep it out: securepeer roster rm.

Exit code 0 says that the member is gone, 3 that another peer must say so, too.`,
		GroupID:           groupRing,
		Args:              exactly(1),
		ValidArgsFunction: a.completePeer,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.interrupts.stand("this peer may have said so: securepeer peers shows it; saying so again does no harm")
			f, err := a.client().Forget(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.interrupts.stand("this peer has said so")
			switch {
			case a.json:
				if err := a.object(f); err != nil {
					return err
				}
			case f.Gone:
				a.printf("%s  gone\n", name(f.Peer))
			default:
				a.printf("%s  %d of %d: said by %s\n", name(f.Peer), len(f.Said), f.Needed, names(f.Said))
			}
			if err := a.flush(); err != nil { // the result before what is to be said of it
				return err
			}
			if f.Gone {
				a.notef("other peers make the copies that %s had, when they have not reached it for the grace; if its machine comes back it is let in, and given what it missed", name(f.Peer))
				return nil
			}
			a.notef("another peer must say so, too, before copies are made elsewhere")
			a.hintf("on another machine of the ring: securepeer forget %s", name(f.Peer))
			return told(exitPartial)
		},
	}
	addJSON(cmd, a)
	return cmd
}
