package flags

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Explain returns the error of parsing a command's flags as one line: the flag, the value,
// and what to write instead.
func Explain(cmd *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	var lacks *pflag.ValueRequiredError
	see := "; see " + cmd.CommandPath() + " --help"
	switch {
	case errors.As(err, &bad):
		want := "want " + wanted(bad.GetFlag())
		return fmt.Errorf("--%s is %q; %s%s", bad.GetFlag().Name, bad.GetValue(), want, see)
	case errors.As(err, &lacks):
		return fmt.Errorf("--%s needs a value: %s%s", lacks.GetFlag().Name, wanted(lacks.GetFlag()), see)
	case errors.As(err, &unknown):
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return unknownFlag(cmd, dashes, unknown.GetSpecifiedName())
	}
	return fmt.Errorf("%w%s", err, see)
}

// wanted says which values a flag takes.
func wanted(f *pflag.Flag) string {
	if v, ok := f.Value.(interface{ Want() string }); ok {
		return v.Want()
	}
	if f.Value.Type() == "bool" {
		return "true or false"
	}
	name, _ := pflag.UnquoteUsage(f)
	return name
}

func unknownFlag(cmd *cobra.Command, dashes, name string) error {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return fmt.Errorf("unknown flag %q%s; see %s --help", dashes+name, DidYouMean("--", name, names), cmd.CommandPath())
}

// SingleDash returns an error for the first of a command's arguments that has a name of several
// letters after one dash, such as -window: pflag would take it for the flags -w, -i, -n and so on.
func SingleDash(cmd *cobra.Command, args []string) error {
	cmd.InitDefaultHelpFlag()
	cmd.LocalFlags() // adds those of the parents to Flags
	all := cmd.Flags()
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return nil
		case strings.HasPrefix(arg, "--"):
			name, _, valued := strings.Cut(arg[2:], "=")
			if f := all.Lookup(name); f != nil && !valued && f.NoOptDefVal == "" {
				i++ // its value
			}
		case len(arg) > 1 && arg[0] == '-':
			name, _, _ := strings.Cut(arg[1:], "=")
			short := all.ShorthandLookup(arg[1:2])
			if len(name) > 1 && all.Lookup(name) != nil {
				return fmt.Errorf("%q has one dash; write --%s", "-"+name, name)
			}
			if len(name) > 1 && short == nil {
				return unknownFlag(cmd, "-", name)
			}
			if short != nil && short.NoOptDefVal == "" && len(arg) == 2 {
				i++
			}
		}
	}
	return nil
}

// DidYouMean returns "; did you mean X?" for the name that word is most likely to stand for,
// with prefix before it, or "" when none is near.
func DidYouMean(prefix, word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		n := distance(word, name)
		if len(word) > 2 && strings.HasPrefix(name, word) {
			n = min(n, 1)
		}
		if n < least && n < len(word) {
			best, least = name, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + prefix + best + "?"
}

// distance returns the number of insertions, deletions, replacements and swaps of neighbors
// between a and b; 99 for texts that are too long to be names.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 99
	}
	var before, last, row [65]int
	for j := range b {
		last[j+1] = j + 1
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
