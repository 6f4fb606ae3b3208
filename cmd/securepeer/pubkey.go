package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"securepeer/keys"
	"securepeer/wire"
)

func pubkeyCommand(a *app) *cobra.Command {
	var line bool
	var addr string
	cmd := &cobra.Command{
		Use:   "pubkey [--roster-line ID NAME --addr HOST:PORT]",
		Short: "Print this machine's public key, or its line for a roster",
		Example: `  securepeer pubkey
  securepeer pubkey --roster-line 14 alice --addr alice.example.net:7460 >> roster`,
		GroupID: groupPeer,
		Args: func(cmd *cobra.Command, args []string) error {
			if line && len(args) != 2 {
				return errors.New("--roster-line needs ID NAME")
			} else if line {
				return nil
			}
			return noArgs(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := a.public()
			if err != nil {
				return err
			}
			if !line {
				return a.printPublic(public)
			}
			text, err := rosterLine(args[0], args[1], addr, public)
			if err != nil {
				return err
			}
			a.printf("%s", text)
			return nil
		},
	}
	cmd.Flags().BoolVar(&line, "roster-line", false, "print the line for ID and NAME")
	cmd.Flags().StringVar(&addr, "addr", "", "`HOST:PORT` at which the others reach this machine")
	cmd.MarkFlagsRequiredTogether("roster-line", "addr")
	addJSON(cmd, a)
	cmd.MarkFlagsMutuallyExclusive("roster-line", "json")
	return cmd
}

// secret reads this machine's key.
func (a *app) secret() (*keys.Secret, error) {
	secret, err := keys.ReadKeyFile(a.keyPath())
	if err != nil {
		return nil, &fault{code: exitUsage, err: err}
	}
	return secret, nil
}

func (a *app) public() (keys.Public, error) {
	secret, err := a.secret()
	if err != nil {
		return keys.Public{}, err
	}
	return secret.Public(), nil
}

// rosterLine returns one peer line, checked as a roster would check it.
func rosterLine(id, name, addr string, public keys.Public) (string, error) {
	n, err := parseID(id)
	if err != nil {
		return "", err
	}
	roster, err := keys.NewRoster("any")
	if err != nil {
		return "", err
	}
	if err := roster.Add(keys.Member{ID: n, Name: name, Key: public, Addr: addr}); err != nil {
		return "", &fault{code: exitUsage, err: err}
	}
	_, line, _ := strings.Cut(string(roster.Append(nil)), "\n") // behind the ring line
	return line, nil
}

func parseID(text string) (wire.ID, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, usagef("%q is no id: an id is a number from 0 to 65535", text)
	}
	return wire.ID(n), nil
}
