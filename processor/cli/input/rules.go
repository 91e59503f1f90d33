package input

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keytrail/processor/report"
	"keytrail/processor/sigma"
	"keytrail/schemas/printable"
)

// Rules loads the rules below directories and in files, and prints problems, skipped
// documents and notes on standard error. The error of rules with problems only counts them.
func (in *Input) Rules(paths []string) (*sigma.Rules, error) {
	rules, problems, err := readRules(paths)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		fmt.Fprintln(in.Stderr, printable.Text(p.String()))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s in %s", report.Number(len(problems), "problem"), strings.Join(paths, ", "))
	}
	for _, s := range rules.Skipped {
		fmt.Fprintln(in.Stderr, printable.Text(fmt.Sprintf("%s:%d: left out: %s", s.File, s.Line, s.Reason)))
	}
	for _, p := range rules.Notes {
		fmt.Fprintln(in.Stderr, printable.Text(fmt.Sprintf("%s:%d: note: %s", p.File, p.Line, p.Text)))
	}
	return rules, nil
}

// LoadRules is Rules for a process that runs: it prints nothing, and its error has the
// problems.
func LoadRules(paths []string) (*sigma.Rules, error) {
	rules, problems, err := readRules(paths)
	if err != nil {
		return nil, err
	}
	var all []error
	for _, p := range problems {
		all = append(all, errors.New(p.String()))
	}
	return rules, errors.Join(all...)
}

// readRules reads the rules below directories and in files.
func readRules(paths []string) (*sigma.Rules, []sigma.Problem, error) {
	var l sigma.Loader
	for _, path := range paths {
		st, err := os.Stat(path)
		if err == nil && st.IsDir() {
			prefix := filepath.ToSlash(filepath.Clean(path)) + "/"
			if prefix == "./" {
				prefix = ""
			}
			l.Dir(os.DirFS(path), prefix)
			continue
		}
		var text []byte
		if err == nil {
			text, err = readRuleFile(path)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read rules: %w", err)
		}
		l.File(filepath.ToSlash(path), text)
	}
	rules, problems := l.Rules()
	return rules, problems, nil
}

// readRuleFile reads a file, up to one byte more than the limit for rules.
func readRuleFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, sigma.MaxFileBytes+1))
}
