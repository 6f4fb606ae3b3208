package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpName is the command that shows the help of others.
const helpName = "help"

// helpCommand is cobra's, but a command that is not there is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   helpName + " [COMMAND]",
		Short: "Show how a command is used",
		Args: func(cmd *cobra.Command, args []string) error {
			if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
				return fmt.Errorf("there is no command %q", strings.Join(append([]string{cmd.Root().Name()}, args...), " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			command, _, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			command.InitDefaultHelpFlag() // else it is not among the flags
			return command.Help()
		},
	}
}

// flagError says in words what a flag takes, without the functions that were
// to read it.
func flagError(_ *cobra.Command, err error) error {
	if text, _, ok := strings.Cut(err.Error(), ": strconv."); ok {
		return errors.New(text + ": it takes a number")
	}
	return err
}

// nearest returns the candidate that typed was most likely meant to be: one
// that it begins, else the one that the fewest wrong letters lead to. It is ""
// if there are none.
func nearest(typed string, candidates []string) string {
	best, fewest := "", 0
	for _, c := range candidates {
		wrong := 2 * distanceOf(typed, c)
		if strings.HasPrefix(c, typed) {
			wrong--
		}
		if best == "" || wrong < fewest {
			best, fewest = c, wrong
		}
	}
	return best
}

// distanceOf is how many letters must be put in, taken out or changed to make
// b of a (Levenshtein's distance).
func distanceOf(a, b string) int {
	row := make([]int, len(b)+1) // from what is read of a to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
