package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"securepeer/keys"
)

func keygenCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make this machine's key and print its public half",
		Long: `Keygen writes a new secret key to DIR/key, readable by this user only, and
prints the public key that belongs into the roster. A key is never overwritten.`,
		GroupID: groupPeer,
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return a.keygen() },
	}
	addJSON(cmd, a)
	return cmd
}

func (a *app) keygen() error {
	if err := a.makeDir(); err != nil {
		return err
	}
	secret, err := keys.Generate()
	if err != nil {
		return err
	}
	a.interrupts.stand("%s may be there or not: securepeer pubkey prints its public half", a.keyPath())
	if err := keys.WriteKeyFile(a.keyPath(), secret); errors.Is(err, fs.ErrExist) {
		return &fault{exitExists, "securepeer pubkey prints its public half", err}
	} else if err != nil {
		return err
	}
	a.interrupts.stand("%s is there", a.keyPath())
	a.notef("the secret key is in %s: keep it there, and a copy offline", a.keyPath())
	return a.printPublic(secret.Public())
}

// makeDir makes the peer's folder, for this user only.
func (a *app) makeDir() error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return fmt.Errorf("making the peer's folder: %w", err)
	}
	return a.checkFolder()
}

// checkFolder refuses a peer's folder that others can change.
func (a *app) checkFolder() error {
	for _, folder := range []string{a.dir, filepath.Join(a.dir, "store")} {
		if err := keys.CheckFolder(folder); err != nil {
			return &fault{code: exitUsage, err: err}
		}
	}
	return nil
}

// publicKey is a public key as JSON.
type publicKey struct {
	Schema string `json:"schema"`
	Key    string `json:"key"`
}

func (a *app) printPublic(p keys.Public) error {
	if a.json {
		return a.object(publicKey{"securepeer/pubkey/1", p.String()})
	}
	a.printf("%s\n", p)
	return nil
}
