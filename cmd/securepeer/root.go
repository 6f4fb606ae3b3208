package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"securepeer/internal/control"
)

// app is what the commands share.
type app struct {
	*console
	dir    string // the peer's folder: key, roster, files, socket
	roster string // the roster file, if it is not the one in dir
}

func (a *app) keyPath() string { return filepath.Join(a.dir, "key") }

func (a *app) rosterPath() string {
	if a.roster != "" {
		return a.roster
	}
	return filepath.Join(a.dir, "roster")
}

// client returns a client of the peer that runs on this machine.
func (a *app) client() *control.Client { return control.New(a.dir) }

// execute runs the command that args name. An error before the command itself
// has begun is one of usage.
func execute(ctx context.Context, args []string, c *console) error {
	root := newRoot(&app{console: c})
	root.InitDefaultCompletionCmd(args...) // else it begins unnoticed
	begun := false
	notice(root, func() { begun = true })
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if f := (*fault)(nil); err != nil && !begun && !errors.As(err, &f) {
		first, _, _ := strings.Cut(err.Error(), "\n")
		hint := usageHint(root, args)
		if strings.HasPrefix(first, "unknown ") { // a flag: or a name that looks like one
			hint += "; what begins with - and is no flag stands behind --"
		}
		return &fault{exitUsage, hint, errors.New(first)}
	}
	return err
}

// notice calls begun when a command begins to run: behind all that cobra
// checks, of which its own hooks see only a part.
func notice(cmd *cobra.Command, begun func()) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			begun()
			return run(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		notice(child, begun)
	}
}

// usageHint names the help of the command that was meant.
func usageHint(root *cobra.Command, args []string) string {
	command, rest, err := root.Find(args)
	if err == nil && command.Name() == helpName {
		command, rest, err = root.Find(rest)
	}
	switch {
	case err != nil:
		return root.Name() + " --help lists the commands"
	case !command.HasSubCommands():
		return command.CommandPath() + " --help tells how it is used"
	case len(rest) > 0:
		command.SuggestionsMinimumDistance = 2 // wrong letters
		if near := nearest(rest[0], command.SuggestionsFor(rest[0])); near != "" {
			return "did you mean: " + command.CommandPath() + " " + near
		}
	}
	return command.CommandPath() + " --help lists the commands"
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "securepeer",
		Short: "A private, encrypted, self-healing file ring",
		Long: `Securepeer turns machines that know each other's public keys into one ring of
files. The roster, a text file, says who they are. A file that is put into the
ring is on several of their disks before the command returns.

  securepeer keygen                     make this machine's key, print the public half
  securepeer roster init RING           begin a roster; then roster add NAME KEY HOST:PORT
  securepeer start                      run this machine's peer
  securepeer put FILE, get NAME, ls     use the ring
  securepeer demo                       see it work, on this machine alone

` + exitHelp(),
		Version:           thisBuild().Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              noArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkDir(cmd) },
		Run:               func(cmd *cobra.Command, _ []string) { cmd.Help() }, // writes to stdout only
	}
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand())
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetIn(a.in)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.PersistentFlags().StringVar(&a.dir, "dir", defaultDir(), "the peer's folder: key, roster, files (or SECUREPEER_DIR)")
	root.MarkPersistentFlagDirname("dir")
	root.AddGroup(
		&cobra.Group{ID: groupPeer, Title: "This machine's peer:"},
		&cobra.Group{ID: groupFiles, Title: "Files:"},
		&cobra.Group{ID: groupRing, Title: "The ring:"},
	)
	root.AddCommand(
		keygenCommand(a), pubkeyCommand(a), rosterCommand(a), startCommand(a), initCommand(a), joinCommand(a), stopCommand(a), leaveCommand(a),
		putCommand(a), getCommand(a), lsCommand(a), statCommand(a), rmCommand(a), lookupCommand(a),
		statusCommand(a), ringCommand(a), peersCommand(a), pingCommand(a), forgetCommand(a), monitorCommand(a), demoCommand(a),
		versionCommand(a),
	)
	return root
}

// The groups of the help.
const (
	groupPeer  = "peer"
	groupFiles = "files"
	groupRing  = "ring"
)

// noArgs is the check of commands without arguments, and of those that have
// commands of their own.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return fmt.Errorf("there is no command %q", cmd.CommandPath()+" "+args[0])
	}
	return fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
}

// exactly is the check of commands with n arguments.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if i := slices.Index(args, ""); i >= 0 { // as of a variable that is not set
			return misused(cmd, args[:i])
		}
		if len(args) != n {
			return misused(cmd, args)
		}
		return nil
	}
}

// misused is the error of a command with too few or too many arguments, which
// are the words of its Use.
func misused(cmd *cobra.Command, args []string) error {
	words := strings.Fields(strings.NewReplacer("[", "", "]", "", "...", "").Replace(cmd.Use))[1:]
	switch missing := words[min(len(args), len(words)):]; len(missing) {
	case 0:
		return fmt.Errorf("%s takes %s and nothing else, got %q, too", cmd.CommandPath(), strings.Join(words, " "), args[len(words)])
	case 1:
		return fmt.Errorf("%s needs a %s", cmd.CommandPath(), missing[0])
	default:
		return fmt.Errorf("%s needs %s, too: %s", cmd.CommandPath(), strings.Join(missing, " "), cmd.Use)
	}
}

// atMostOne is the check of commands with an optional argument.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misused(cmd, args)
	}
	if len(args) == 1 && args[0] == "" && cmd.Name() != "ls" { // all names begin with it
		return fmt.Errorf("%s: its argument is given, and empty", cmd.CommandPath())
	}
	return nil
}

func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range exitTable {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// checkDir refuses a command that works in the peer's folder if nothing says
// where that is: a folder wherever the user happens to be would be another one
// tomorrow.
func (a *app) checkDir(cmd *cobra.Command) error {
	if err := checkEmpty(cmd.Flags()); err != nil {
		return err
	}
	if a.dir != "" || cmd.HasSubCommands() {
		return nil
	}
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	if top.GroupID == "" || top.Name() == "demo" { // version and the like; the demo has folders of its own
		return nil
	}
	return &fault{exitUsage, "say it with --dir, or set SECUREPEER_DIR", errors.New("there is no HOME, so nothing says where the peer's folder is")}
}

// checkEmpty refuses a flag whose value is "", as of a variable that is not
// set: its default would be something that nobody asked for.
func checkEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			err = usagef("--%s is given, and empty", f.Name)
		}
	})
	return err
}

// defaultDir is SECUREPEER_DIR, or the user's folder for state, or "" if
// nothing says where that is.
func defaultDir() string {
	if dir := os.Getenv("SECUREPEER_DIR"); dir != "" {
		return dir
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "securepeer")
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Join(home, ".local", "state", "securepeer")
}

// addJSON gives a command its --json.
func addJSON(cmd *cobra.Command, a *app) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON, one object a line")
}

// usagef is an error in what the user asked for.
func usagef(format string, args ...any) error {
	return &fault{code: exitUsage, err: fmt.Errorf(format, args...)}
}
