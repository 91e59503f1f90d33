package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"keytrail/processor/sigma"
)

// loadRules loads the rules below directories and in files, and tells what is wrong
// with them, and what was left out. When anything is wrong it returns nil and the exit
// code wrong.
func (a *app) loadRules(paths []string, wrong int) (rules *sigma.Rules, code int) {
	rules, problems, err := readRules(paths)
	if err != nil {
		a.errorf("%v", err)
		return nil, wrong
	}
	for _, p := range problems {
		fmt.Fprintln(a.stderr, plain(p.String()))
	}
	if len(problems) > 0 {
		a.errorf("%s in %s", number(len(problems), "problem"), plain(strings.Join(paths, ", ")))
		return nil, wrong
	}
	for _, s := range rules.Skipped {
		fmt.Fprintln(a.stderr, plain(fmt.Sprintf("%s:%d: left out: %s", s.File, s.Line, s.Reason)))
	}
	for _, p := range rules.Notes {
		fmt.Fprintln(a.stderr, plain(fmt.Sprintf("%s:%d: note: %s", p.File, p.Line, p.Text)))
	}
	return rules, exitOK
}

// stageRules loads the rules that a pipeline judges calls by; nil without an error code
// when there are none.
func (a *app) stageRules(paths []string) (rules *sigma.Rules, code int) {
	if len(paths) == 0 {
		return nil, exitOK
	}
	return a.loadRules(paths, exitUsage)
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

// readRuleFile reads a file, up to one byte more than rules may have.
func readRuleFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, sigma.MaxFileBytes+1))
}
