package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"keytrail/processor/setting"
)

// Error is one fault in a configuration file.
type Error struct {
	File string
	Line int    // from 1; 0 for the file as a whole
	Key  string // the path of the key, such as "sinks[0].take.windows"; "" for the whole file
	Text string // the fault, and what is allowed
}

// Error returns "file:line: key: text".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
	}
	switch {
	case strings.ContainsFunc(e.Key, func(r rune) bool { return !unicode.IsPrint(r) }):
		b.WriteString(": " + strconv.Quote(e.Key))
	case e.Key != "":
		b.WriteString(": " + e.Key)
	}
	return b.String() + ": " + e.Text
}

// maxErrors bounds the listed errors; the rest are counted.
const maxErrors = 20

// faults collects the errors of one file.
type faults struct {
	file  string
	lines map[string]int // of each key that the file has
	found []*Error
}

func (f *faults) add(line int, key, format string, args ...any) {
	f.found = append(f.found, &Error{File: f.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// problems adds the problems of Validate, with the line of each key or of the nearest
// enclosing key.
func (f *faults) problems(err error) {
	var problems setting.Problems
	if err != nil && !errors.As(err, &problems) {
		f.add(0, "", "%v", err)
	}
	for _, p := range problems {
		f.add(f.line(p.Key), p.Key, "%s", p.Text)
	}
}

func (f *faults) line(key string) int {
	for {
		if line, ok := f.lines[key]; ok {
			return line
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return 0
		}
		key = key[:cut]
	}
}

// err joins the errors in order of their lines; nil if there are none.
func (f *faults) err() error {
	slices.SortStableFunc(f.found, func(a, b *Error) int { return a.Line - b.Line })
	var all []error
	for i, e := range f.found {
		if i == maxErrors {
			all = append(all, fmt.Errorf("%s: %d more errors", f.file, len(f.found)-i))
			break
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

// yamlLine finds the line in an error of the YAML parser, which has no type.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax adds an error of the YAML parser.
func (f *faults) syntax(err error) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		if line, convErr := strconv.Atoi(m[1]); convErr == nil {
			f.add(line, "", "cannot parse YAML: %s", m[2])
			return
		}
	}
	f.add(0, "", "cannot parse YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// nearest returns the allowed name that a person may have meant by got, or "": at most
// two characters or a third of them differ, but not all.
func nearest(got string, allowed []string) string {
	best, bound := "", min(max(2, len(got)/3)+1, len(got))
	for _, name := range allowed {
		if d := distance(got, name); d < bound {
			best, bound = name, d
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b. Names are short: the caller cuts
// the file's name to 64 bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
