package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flagSet is a command's flags with its help text. A bad value is refused where
// it is parsed, with the flag, the value and what is allowed.
type flagSet struct {
	*flag.FlagSet
	usage string // the first lines of the help
}

// flags returns the flag set of a command.
func (a *app) flags(name, args, about string) *flagSet {
	f := &flagSet{flag.NewFlagSet(name, flag.ContinueOnError), fmt.Sprintf("Usage: keytrail %s %s\n\n%s\n\n", name, args, about)}
	f.SetOutput(io.Discard) // parse prints the errors, in the form of the others
	return f
}

// parse parses args into f, flags and arguments in any order (behind "--" only
// arguments), and returns the arguments; done tells that the command ends here,
// with the exit code.
func (a *app) parse(f *flagSet, args []string) (rest []string, code int, done bool) {
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			io.WriteString(a.stdout, f.usage)
			f.SetOutput(a.stdout)
			f.PrintDefaults()
			return nil, exitOK, true
		case err != nil:
			a.errorf("%v; see keytrail %s -h", err, f.Name())
			return nil, exitUsage, true
		}
		left := f.NArg()
		if left == 0 {
			return rest, exitOK, false
		}
		if n := len(args) - left; n > 0 && args[n-1] == "--" {
			return append(rest, f.Args()...), exitOK, false
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
}

// checked is a flag whose values are checked. It implements flag.Value.
type checked[T any] struct {
	to    *T
	parse func(text string) (T, bool)
	want  string // what is allowed
}

func (s checked[T]) Set(text string) error {
	v, ok := s.parse(text)
	if !ok {
		return errors.New("want " + s.want)
	}
	*s.to = v
	return nil
}

func (s checked[T]) String() string {
	if s.to == nil {
		return "" // package flag asks the zero value
	}
	return fmt.Sprint(*s.to)
}

// choice registers a flag with few values; *to is its default.
func (f *flagSet) choice(to *string, name, usage string, allowed ...string) {
	f.Var(checked[string]{to, func(text string) (string, bool) { return text, slices.Contains(allowed, text) },
		"one of " + strings.Join(allowed, ", ")}, name, usage)
}

// duration registers a flag of low to high, in whole multiples of step; *to is
// its default.
func (f *flagSet) duration(to *time.Duration, name, usage string, low, high, step time.Duration) {
	want := fmt.Sprintf("a duration from %v to %v, such as 90s, 5m or 24h", low, high)
	if step > 1 {
		want = fmt.Sprintf("a multiple of %v from %v to %v, such as 5m or 1h", step, low, high)
	}
	f.Var(checked[time.Duration]{to, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= low && d <= high && d%step == 0
	}, want}, name, usage)
}

// integer registers a flag of low to high; *to is its default.
func integer[T int | int64](f *flagSet, to *T, name, usage string, low, high T) {
	f.Var(checked[T]{to, func(text string) (T, bool) {
		n, err := strconv.ParseInt(text, 10, 64)
		return T(n), err == nil && n >= int64(low) && n <= int64(high)
	}, fmt.Sprintf("a whole number from %d to %d", low, high)}, name, usage)
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// durations is a flag that may be repeated, in nanoseconds.
type durations []int64

func (d *durations) String() string {
	var list []string
	for _, ns := range *d {
		list = append(list, time.Duration(ns).String())
	}
	return strings.Join(list, ",")
}

func (d *durations) Set(s string) error {
	v, err := time.ParseDuration(s)
	*d = append(*d, int64(v))
	return err
}
