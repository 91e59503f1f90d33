// Package flags has the kinds of flags that Keytrail's commands share. Each refuses a bad
// value where it is parsed, and says which values it takes. Defaults print as a person
// writes them: "24h", "1 GiB", "3,000,000".
//
// The functions register a flag with a command. Like those of pflag, they take the name of
// the value from the back-quoted word in the description.
package flags

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/setting"
)

// value is a flag whose values are checked. It implements pflag.Value.
type value[T any] struct {
	to    *T
	parse func(text string) (T, bool)
	print func(T) string
	want  string // which values are allowed
	name  string // of the value in the help, unless the description has one
}

func (v value[T]) Set(text string) error {
	parsed, ok := v.parse(text)
	if !ok {
		return errors.New("want " + v.want)
	}
	*v.to = parsed
	return nil
}

func (v value[T]) String() string { return v.print(*v.to) }
func (v value[T]) Type() string   { return v.name }

// Want describes the flag's allowed values.
func (v value[T]) Want() string { return v.want }

// Choice registers a flag that takes one of a few values, which the help lists. short is its
// letter, or "". *to is the default.
func Choice(cmd *cobra.Command, to *string, name, short, usage string, allowed ...string) {
	parse := func(text string) (string, bool) { return text, slices.Contains(allowed, text) }
	cmd.Flags().VarP(value[string]{to, parse, text, "one of " + strings.Join(allowed, ", "), strings.Join(allowed, "|")},
		name, short, usage)
	complete(cmd, name, allowed)
}

func text(s string) string { return s }

// complete completes values in the shell.
func complete(cmd *cobra.Command, name string, values []string) {
	f := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(name, f); err != nil {
		panic("BUG: " + err.Error())
	}
}

// Output registers -o, --output. *to becomes the default: the first form.
func Output(cmd *cobra.Command, to *string, usage string, forms ...string) {
	*to = forms[0]
	Choice(cmd, to, "output", "o", usage, forms...)
}

// Config registers -c, --config for a configuration file.
func Config(cmd *cobra.Command, to *string, usage string) {
	cmd.Flags().StringVarP(to, "config", "c", "", usage)
	if err := cmd.MarkFlagFilename("config", "yaml", "yml"); err != nil {
		panic("BUG: " + err.Error())
	}
}

// Duration registers a flag of low to high, in whole multiples of step. *to is the default.
func Duration(cmd *cobra.Command, to *time.Duration, name, usage string, low, high, step time.Duration) {
	want := fmt.Sprintf("a duration from %s to %s, such as 90s, 5m or 24h", setting.Duration(low), setting.Duration(high))
	if step > 1 {
		want = fmt.Sprintf("a multiple of %s from %s to %s, such as 5m or 1h", setting.Duration(step), setting.Duration(low),
			setting.Duration(high))
	}
	cmd.Flags().Var(value[time.Duration]{to, func(text string) (time.Duration, bool) {
		d, err := time.ParseDuration(text)
		return d, err == nil && d >= low && d <= high && d%step == 0
	}, setting.Duration, want, "duration"}, name, usage)
}

// Integer registers a flag of low to high. *to is the default.
func Integer[T int | int64 | uint64](cmd *cobra.Command, to *T, name, usage string, low, high T) {
	cmd.Flags().Var(value[T]{to, func(text string) (T, bool) {
		if low < 0 || uint64(high) <= math.MaxInt64 {
			n, err := strconv.ParseInt(text, 10, 64)
			return T(n), err == nil && n >= int64(low) && n <= int64(high)
		}
		n, err := strconv.ParseUint(text, 10, 64)
		return T(n), err == nil && T(n) >= low && T(n) <= high
	}, grouped[T], fmt.Sprintf("a whole number from %s to %s", grouped(low), grouped(high)), "number"}, name, usage)
}

// grouped writes "3,000,000".
func grouped[T int | int64 | uint64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Float registers a flag of more than low, up to high. *to is the default.
func Float(cmd *cobra.Command, to *float64, name, usage string, low, high float64) {
	cmd.Flags().Var(value[float64]{to, func(text string) (float64, bool) {
		v, err := strconv.ParseFloat(text, 64)
		return v, err == nil && v > low && v <= high // false for NaN
	}, func(v float64) string { return fmt.Sprint(v) }, fmt.Sprintf("a number above %v, up to %v", low, high), "number"},
		name, usage)
}

// Size registers a flag of a number of bytes, low to high. *to is the default.
func Size[T int | int64](cmd *cobra.Command, to *T, name, usage string, low, high T) {
	cmd.Flags().Var(value[T]{to, func(text string) (T, bool) {
		var s setting.Size
		err := s.UnmarshalText([]byte(text))
		return T(s), err == nil && int64(s) >= int64(low) && int64(s) <= int64(high)
	}, size[T], fmt.Sprintf("a size from %s to %s, such as 512KiB or 4194304", size(low), size(high)), "size"}, name,
		usage)
}

// size writes "1 GiB", where the configuration has "1GiB".
func size[T int | int64](n T) string {
	text := setting.Size(n).String()
	if unit := strings.IndexFunc(text, func(r rune) bool { return r > '9' }); unit > 0 {
		return text[:unit] + " " + text[unit:]
	}
	return text
}

// durations is a flag that may be repeated, in nanoseconds.
type durations []int64

// Durations registers a flag that may be repeated.
func Durations(cmd *cobra.Command, to *[]int64, name, usage string) {
	cmd.Flags().Var((*durations)(to), name, usage)
}

func (d *durations) String() string {
	var list []string
	for _, ns := range *d {
		list = append(list, setting.Duration(time.Duration(ns)))
	}
	return strings.Join(list, ",")
}

func (d *durations) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("want " + d.Want())
	}
	*d = append(*d, int64(v))
	return nil
}

func (d *durations) Type() string { return "value" }
func (d *durations) Want() string { return "a duration, such as 1h" }

// Func registers a flag whose text parse checks; want describes the allowed texts. *to is
// the default, which print formats.
func Func[T any](cmd *cobra.Command, to *T, name, usage, want string, parse func(text string) (T, error),
	print func(T) string) {
	cmd.Flags().Var(value[T]{to, func(text string) (T, bool) {
		v, err := parse(text)
		return v, err == nil
	}, print, want, "value"}, name, usage)
}

// section is the annotation of a flag that stands below its own heading.
const section = "keytrail_section"

// Section puts flags of a command below a heading in its help.
func Section(cmd *cobra.Command, title string, names ...string) {
	for _, name := range names {
		if err := cmd.Flags().SetAnnotation(name, section, []string{title}); err != nil {
			panic("BUG: " + err.Error())
		}
	}
}

// SectionOf returns the heading for a flag with these annotations; "Flags" without one.
func SectionOf(annotations map[string][]string) string {
	return cmp.Or(strings.Join(annotations[section], ""), "Flags")
}
