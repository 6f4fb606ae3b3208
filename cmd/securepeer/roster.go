package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"securepeer/keys"
	"securepeer/wire"
)

func rosterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roster",
		Short: "Say who may be in the ring",
		Long: `The roster is a text file with a line for each member: id, name, public key,
address. Whoever is not in it can neither join nor read nor disturb the ring.
Every machine has a copy of the same file.`,
		GroupID: groupRing,
		Args:    noArgs,
		Run:     func(cmd *cobra.Command, _ []string) { cmd.Help() }, // writes to stdout only
	}
	cmd.PersistentFlags().StringVar(&a.roster, "roster", "", "roster `FILE` (default DIR/roster)")
	cmd.MarkPersistentFlagFilename("roster")
	cmd.AddCommand(rosterInitCommand(a), rosterAddCommand(a), rosterRmCommand(a), rosterShowCommand(a), rosterCheckCommand(a), rosterReloadCommand(a))
	return cmd
}

// loadRoster reads the roster, and says how to get one if there is none.
func (a *app) loadRoster() (*keys.Roster, error) {
	roster, err := keys.LoadRoster(a.rosterPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &fault{exitUsage, "begin one with: securepeer roster init RING; or copy that of another member to " + a.rosterPath(), err}
	case err != nil:
		return nil, &fault{code: exitUsage, err: err}
	}
	return roster, nil
}

func rosterInitCommand(a *app) *cobra.Command {
	var space uint8
	var copies, observers int
	interval, grace := keys.DefaultInterval, keys.DefaultGrace
	var route string
	cmd := &cobra.Command{
		Use:   "init RING [NAME KEY HOST:PORT]...",
		Short: "Begin a roster, with any number of members",
		Example: `  securepeer roster init attic alice sp1... alice.example.net:7460 bob sp1... bob.example.net:7460
  securepeer roster init classic --space 8 --route walk --observers 2`,
		Args: ringAndMembers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Lstat(a.rosterPath()); err == nil {
				return &fault{exitExists, "securepeer roster add adds a member to it", fmt.Errorf("%s exists already, and is not overwritten", a.rosterPath())}
			}
			roster, err := keys.NewRoster(args[0])
			if err != nil {
				return &fault{code: exitUsage, err: err}
			}
			roster.Space, roster.Copies, roster.Observers = wire.Space(space), copies, observers
			roster.Interval, roster.Grace = interval, grace
			if roster.Route, err = parseRoute(route); err != nil {
				return err
			}
			if err := roster.Validate(); err != nil {
				return &fault{code: exitUsage, err: err}
			}
			if err := a.makeDir(); err != nil {
				return err
			}
			return a.addMembers(roster, args[1:])
		},
	}
	addJSON(cmd, a)
	flags := cmd.Flags()
	flags.Uint8Var(&space, "space", uint8(keys.DefaultSpace), "`BITS` of a position: 64, or 8 for the classic ring of ids 0 to 255")
	flags.IntVar(&copies, "copies", keys.DefaultCopies, "how many peers hold each file")
	flags.IntVar(&observers, "observers", keys.DefaultObservers, "how many peers watch each peer")
	addDuration(flags, &interval, "interval", "time between pings")
	addDuration(flags, &grace, "grace", "how long a peer may be away until its copies are made elsewhere")
	flags.StringVar(&route, "route", keys.Hop.String(), "hop: ask the holders; walk: ask successor by successor")
	return cmd
}

// ringAndMembers is the check for a ring's name and members.
func ringAndMembers(cmd *cobra.Command, args []string) error {
	switch len(args) % 3 {
	case 0:
		return errors.New("the ring's name is missing, as in: securepeer roster init attic")
	case 2:
		return fmt.Errorf("a member is NAME KEY HOST:PORT, as in: %s", cmd.UseLine())
	}
	return nil
}

func parseRoute(text string) (keys.Route, error) {
	for _, route := range []keys.Route{keys.Hop, keys.Walk} {
		if text == route.String() {
			return route, nil
		}
	}
	return 0, usagef("%q is no route: it is hop or walk", text)
}

// addMembers adds members given as NAME KEY HOST:PORT, writes the roster and
// prints their lines.
func (a *app) addMembers(roster *keys.Roster, args []string) error {
	var added []wire.ID
	for ; len(args) > 0; args = args[3:] {
		key, err := keys.ParsePublic(args[1])
		if err != nil {
			return &fault{code: exitUsage, err: fmt.Errorf("adding %s: %w", name(args[0]), err)}
		}
		id, ok := roster.NextID()
		if !ok {
			return usagef("no id is left for %q", args[0])
		}
		if err := a.add(roster, keys.Member{ID: id, Name: args[0], Key: key, Addr: args[2]}); err != nil {
			return err
		}
		added = append(added, id)
	}
	return a.writeRoster(roster, added...)
}

func (a *app) add(roster *keys.Roster, m keys.Member) error {
	if err := roster.Add(m); err != nil {
		return &fault{code: exitUsage, err: err}
	}
	return nil
}

// writeRoster writes the roster and prints the members that are new; as JSON,
// all of it.
func (a *app) writeRoster(roster *keys.Roster, added ...wire.ID) error {
	a.interrupts.stand("%s is as it was, or as it should be: securepeer roster show", a.rosterPath())
	if err := keys.WriteRoster(a.rosterPath(), roster); err != nil {
		return err
	}
	a.interrupts.stand("%s is written", a.rosterPath())
	a.notef("the roster is in %s: every machine needs the same one", a.rosterPath())
	if a.json {
		return a.object(newRosterJSON(roster))
	}
	for _, id := range added {
		m, _ := roster.ByID(id)
		a.printf("peer %d %s %s addr=%s\n", m.ID, m.Name, m.Key, m.Addr)
	}
	return nil
}

func rosterAddCommand(a *app) *cobra.Command {
	var addr, id, pos string
	var steward bool
	cmd := &cobra.Command{
		Use:   "add NAME KEY HOST:PORT [NAME KEY HOST:PORT]... | add NAME KEY --addr HOST:PORT",
		Short: "Add members",
		Long: `Add adds members and prints their lines. Give the same file to every machine;
a peer that runs takes it with: securepeer roster reload.`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case addr != "" && len(args) != 2, addr == "" && (len(args) == 0 || len(args)%3 != 0):
				return errors.New("a member is NAME KEY HOST:PORT, or one NAME KEY --addr HOST:PORT")
			case addr == "" && len(args) > 3 && (id != "" || pos != "" || steward):
				return errors.New("--id, --pos and --steward are for one member")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.interrupts.stand("%s is as it was", a.rosterPath())
			roster, err := a.loadRoster()
			if err != nil {
				return err
			}
			if addr != "" {
				args = append(args, addr)
			}
			if len(args) > 3 {
				return a.addMembers(roster, args)
			}
			m, err := newMember(roster, args, id, pos)
			if err != nil {
				return err
			}
			m.Steward = steward
			if err := a.add(roster, m); err != nil {
				return err
			}
			return a.writeRoster(roster, m.ID)
		},
	}
	addJSON(cmd, a)
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "", "`HOST:PORT` at which the others reach it")
	flags.StringVar(&id, "id", "", "its `ID` (default: the lowest free one)")
	flags.StringVar(&pos, "pos", "", "its `POSITION` on the ring (default: follows from its id)")
	flags.BoolVar(&steward, "steward", false, "it may remove other members' files")
	return cmd
}

// newMember is the member of NAME KEY HOST:PORT; id and pos may be empty.
func newMember(roster *keys.Roster, args []string, id, pos string) (m keys.Member, err error) {
	m.Name, m.Addr = args[0], args[2]
	if m.Key, err = keys.ParsePublic(args[1]); err != nil {
		return m, &fault{code: exitUsage, err: fmt.Errorf("adding %s: %w", name(m.Name), err)}
	}
	if id != "" {
		m.ID, err = parseID(id)
	} else if free, ok := roster.NextID(); ok {
		m.ID = free
	} else {
		err = usagef("no id is left for %q", m.Name)
	}
	if err != nil {
		return m, err
	}
	if pos != "" {
		n, err := strconv.ParseUint(pos, 0, 64)
		if err != nil {
			return m, usagef("%q is no position: a position is a number of up to 64 bits", pos)
		}
		m.Pos, m.HasPos = wire.Pos(n), true
	}
	return m, nil
}

func rosterRmCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a member",
		Long: `Rm makes a member's line a revoke line, and prints it. That member is cut off
at once wherever the new roster is loaded; a file that it alone holds is lost to
the ring. So let it leave first: securepeer leave, on its machine. The files that
it wrote stay valid: its key in the revoke line is for that.`,
		Args:              exactly(1),
		ValidArgsFunction: a.completeMember,
		RunE: func(_ *cobra.Command, args []string) error {
			a.interrupts.stand("%s is as it was", a.rosterPath())
			roster, err := a.loadRoster()
			if err != nil {
				return err
			}
			m, err := a.member(roster, args[0])
			if err != nil {
				return err
			}
			if err := roster.Revoke(m.ID); err != nil {
				return err
			}
			if err := a.writeRoster(roster); err != nil || a.json {
				return err
			}
			a.printf("revoke %d %s %s\n", m.ID, m.Name, m.Key)
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

// member finds a member by its name or its id.
func (a *app) member(roster *keys.Roster, member string) (keys.Member, error) {
	m, ok := roster.ByName(member)
	if id, err := parseID(member); !ok && err == nil && id.String() == member {
		m, ok = roster.ByID(id)
	}
	if !ok {
		return m, &fault{exitNotFound, "securepeer roster show lists the members", fmt.Errorf("%s has no member %q", a.rosterPath(), member)}
	}
	return m, nil
}

// rosterJSON is a roster as JSON.
type rosterJSON struct {
	Schema    string        `json:"schema"`
	Ring      string        `json:"ring"`
	Space     uint8         `json:"space"`
	Copies    int           `json:"copies"`
	Observers int           `json:"observers"`
	Interval  float64       `json:"interval"` // seconds
	Grace     float64       `json:"grace"`    // seconds
	Route     string        `json:"route"`
	Digest    string        `json:"digest"`
	Admins    []string      `json:"admins"`
	Members   []memberJSON  `json:"members"`
	Revoked   []revokedJSON `json:"revoked"`
}

type memberJSON struct {
	ID       uint16 `json:"id"`
	Name     string `json:"name"`
	Key      string `json:"key"`
	Address  string `json:"address"`
	Position uint64 `json:"position,string"`
	Steward  bool   `json:"steward"`
	Drain    bool   `json:"drain"`
}

type revokedJSON struct {
	ID   uint16 `json:"id"`
	Name string `json:"name"`
	Key  string `json:"key"`
}

func newRosterJSON(r *keys.Roster) rosterJSON {
	j := rosterJSON{
		Schema: "securepeer/roster/1", Ring: r.Ring, Space: uint8(r.Space), Copies: r.Copies, Observers: r.Observers,
		Interval: r.Interval.Seconds(), Grace: r.Grace.Seconds(), Route: r.Route.String(), Digest: fmt.Sprintf("%x", r.Digest()),
		Admins: append([]string{}, r.Admins...), Members: []memberJSON{}, Revoked: []revokedJSON{},
	}
	for _, m := range r.Members {
		j.Members = append(j.Members, memberJSON{uint16(m.ID), m.Name, m.Key.String(), m.Addr, uint64(m.Pos), m.Steward, m.Drain})
	}
	for _, v := range r.Revoked {
		j.Revoked = append(j.Revoked, revokedJSON{uint16(v.ID), v.Name, v.Key.String()})
	}
	return j
}

func rosterShowCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the roster in the file",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			roster, err := a.loadRoster()
			if err != nil {
				return err
			}
			if a.json {
				return a.object(newRosterJSON(roster))
			}
			a.printf("ring %s: %s, %s, digest %x\n", roster.Ring, count(len(roster.Members), "member"), copies(roster.Copies), roster.Digest())
			table := a.table()
			for _, m := range roster.Members {
				table.row(m.ID, m.Name, m.Key.Short(), m.Addr, rights(m.Steward, m.Drain))
			}
			table.end()
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

func rights(steward, drain bool) string {
	switch {
	case steward && drain:
		return "steward drain"
	case steward:
		return "steward"
	case drain:
		return "drain"
	}
	return ""
}

func rosterCheckCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a roster and tell every fault with its line",
		Args:  atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.roster = args[0]
			}
			roster, err := a.loadRoster()
			if err != nil {
				return err
			}
			if a.json {
				return a.object(newRosterJSON(roster))
			}
			a.printf("%s: ring %s, %s, digest %x\n", name(a.rosterPath()), roster.Ring, count(len(roster.Members), "member"), roster.Digest())
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}

func rosterReloadCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the peer that runs here read its roster again",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.interrupts.stand("the peer may read it all the same: securepeer status shows the digest of the one that it works by")
			status, err := a.client().Reload(cmd.Context())
			if err != nil {
				return err
			}
			a.interrupts.stand("the peer has read it")
			if a.json {
				return a.object(status)
			}
			a.printf("ring %s: %s, digest %s\n", name(status.Ring), count(len(status.Members), "member"), name(status.Roster.Digest))
			return nil
		},
	}
	addJSON(cmd, a)
	return cmd
}
