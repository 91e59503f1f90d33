package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// sources are the files of the repository that are not documents, by path, and the
// words that they contain. Documents may name only what is there.
type sources struct {
	files map[string]string
	dirs  map[string]bool
	words map[string]bool
}

var word = regexp.MustCompile(`[A-Za-z0-9_]+`)

func readSources(t *testing.T) sources {
	t.Helper()
	s := sources{files: map[string]string{}, dirs: map[string]bool{}, words: map[string]bool{}}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		name = filepath.ToSlash(name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(name) > 1 && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir // such as .git, where files come and go
		case d.IsDir() && name == "build":
			return filepath.SkipDir
		case d.IsDir():
			s.dirs[name] = true
			return nil
		}
		text, err := os.ReadFile(name)
		s.files[name] = string(text)
		if path.Ext(name) != ".md" && !strings.Contains(name, "/fuzz/") {
			for _, w := range word.FindAllString(string(text), -1) {
				s.words[w] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hasPath reports whether a document of folder may name name as a file or folder:
// from the root, from the document, or by the end of its path.
func (s sources) hasPath(folder, name string) bool {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	for _, full := range []string{name, path.Join(folder, name)} {
		if _, ok := s.files[full]; ok || s.dirs[full] {
			return true
		}
	}
	for file := range s.files {
		if strings.HasSuffix(file, "/"+name) {
			return true
		}
	}
	return s.dirs[path.Dir(name)] && strings.Contains(path.Base(name), "*")
}

// hasFunction reports whether a Go file whose path is name, or ends in it, declares
// the function, method or type.
func (s sources) hasFunction(name, function string) bool {
	declared := regexp.MustCompile(`(?m)^(func|type) (\([^)]*\) )?` + function + `\b`)
	for file, text := range s.files {
		if (file == name || strings.HasSuffix(file, "/"+name)) && declared.MatchString(text) {
			return true
		}
	}
	return false
}

// settings returns the dotted paths of all settings, as "config print" prints them.
func (s sources) settings(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	line := regexp.MustCompile(`^( *)(?:- )?([a-z_]+):`)
	for name, text := range s.files {
		if !strings.HasPrefix(name, "processor/config/testdata/good/") || path.Ext(name) != ".printed" {
			continue
		}
		var at []string
		for l := range strings.SplitSeq(text, "\n") {
			l = strings.Replace(l, "- ", "  ", 1)
			m := line.FindStringSubmatch(l)
			if m == nil || len(m[1])/2 > len(at) {
				continue
			}
			at = append(at[:len(m[1])/2], m[2])
			found[strings.Join(at, ".")] = true
			found[strings.Join(at[max(0, len(at)-2):], ".")] = true // such as retry.max_attempts
		}
	}
	if len(found) < 60 {
		t.Errorf("only %d settings: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
	return found
}

// flags returns the long flags that the help of the commands names.
func flags(t *testing.T) map[string]bool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := map[string]bool{}
	named := regexp.MustCompile(`(?m)(?:^|[\s\[,])--?([a-z][a-z-]+)\b`)
	for _, command := range append(safe, "", "explain", "run", "replay", "lookup", "config print", "config check", "rules check",
		"sinks setup", "deadletter list", "deadletter replay", "tap", "top", "doctor") {
		cmd := exec.CommandContext(ctx, self, append(strings.Fields(command), "-h")...)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		out, _ := cmd.CombinedOutput() // whether -h is an error is not the question here
		for _, m := range named.FindAllSubmatch(out, -1) {
			found[string(m[1])] = true
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d flags: %v", len(found), found)
	}
	return found
}

var (
	fenced    = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	span      = regexp.MustCompile("`([^`]+)`")
	testName  = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*$`)
	section   = regexp.MustCompile(`(docs/[a-z]+\.md), \\?"([^"\\]+)\\?"`)
	reference = regexp.MustCompile(`^([a-z0-9_/]+\.go):([A-Za-z]+)$`)
	filePath  = regexp.MustCompile(`^\.?[A-Za-z0-9_*-]+(/[A-Za-z0-9_.*-]+)*/?$`)
	fileName  = regexp.MustCompile(`^[A-Za-z0-9_-]+\.(go|md|s|mk|proto)$`)
	snake     = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)+$`)
	camel     = regexp.MustCompile(`^([a-z]+\.)?(([A-Z][a-z]+)+\.)?[A-Za-z]*[a-z][A-Z][A-Za-z0-9]*$`)
	metric    = regexp.MustCompile(`keytrail_[a-z_]+`)
	setting   = regexp.MustCompile(`^(kafka|decode|window|commit|detect|rules|telemetry|take|batch|retry)\.[a-z_.]+$`)
	ourFlag   = regexp.MustCompile(`^--([a-z-]+)( [A-Z0-9a-z]+)?$`)
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// foreign are the names of other programs that documents may name: flags of Kafka's
// and AWS's tools, a setting of Kubernetes, counters of Fluent Bit.
var foreign = []string{
	"bootstrap-server", "output", "query", "maxUnavailable",
	"fluentbit_output_retries_failed_total", "fluentbit_output_dropped_records_total",
}

// hasWord reports whether the sources contain the name, if need be without what an
// exporter of metrics adds, or as a prefix such as "rejected_" and a word.
func (s sources) hasWord(name string) bool {
	name = strings.TrimPrefix(name, "fluentbit_in_kms_")
	for i, r := range name {
		if r == '_' && s.words[name[:i+1]] && s.words[name[i+1:]] {
			return true
		}
	}
	return s.words[name] || s.words[name+"_total"] || slices.Contains(foreign, name)
}

// missing returns why a document of folder may not contain the code span text, or "".
func (s sources) missing(folder, text string, settings, flags map[string]bool) string {
	first, _, _ := strings.Cut(text, "/")
	switch {
	case reference.MatchString(text):
		if m := reference.FindStringSubmatch(text); !s.hasFunction(m[1], m[2]) {
			return "is not a function of that file"
		}
	case fileName.MatchString(text), strings.Contains(text, "/") && filePath.MatchString(text) && s.dirs[first]:
		if !s.hasPath(folder, text) {
			return "is not a file or folder"
		}
	case metric.MatchString(text):
		for _, name := range metric.FindAllString(text, -1) {
			if !s.hasMetric(name) {
				return "is not a metric"
			}
		}
	case snake.MatchString(text):
		if !s.hasWord(text) {
			return "does not occur in any source file"
		}
	case setting.MatchString(text):
		// kafka.ErrCut and the topics kms.* are not settings: the expression excludes them.
		if !settings[text] && !s.words[text[strings.LastIndex(text, ".")+1:]] {
			return "is not a setting"
		}
	case camel.MatchString(text):
		if !s.hasWord(text[strings.LastIndex(text, ".")+1:]) {
			return "does not occur in any source file"
		}
	case strings.Contains(text, " "):
		for w := range strings.FieldsSeq(text) {
			if testName.MatchString(w) && !s.words[w] {
				return "names the test " + w + ", which does not exist"
			}
		}
	}
	if ourFlag.MatchString(text) {
		name := ourFlag.FindStringSubmatch(text)[1]
		if !flags[name] && !slices.Contains(foreign, name) {
			return "is not a flag of any command"
		}
	}
	return ""
}

// hasMetric reports whether the sources name the metric: in full, without the unit
// and "_total", which the exporter adds, or without the prefix of the exposition.
func (s sources) hasMetric(name string) bool {
	for {
		if s.words[name] || s.words[strings.TrimPrefix(name, "keytrail_")] {
			return true
		}
		cut, unit := name, false
		for _, end := range []string{"_total", "_seconds", "_bytes", "_bucket", "_count", "_sum"} {
			if rest, ok := strings.CutSuffix(name, end); ok {
				cut, unit = rest, true
			}
		}
		if !unit {
			return false
		}
		name = cut
	}
}

// Every function, file, setting, metric, flag and identifier that a document names
// exists, and every link leads somewhere: a guide that names what is gone misleads.
func TestDocumentsNameWhatExists(t *testing.T) {
	s := readSources(t)
	settings, flags := s.settings(t), flags(t)
	references := 0
	for _, file := range documents(t) {
		text := fenced.ReplaceAllStringFunc(s.files[file], func(block string) string {
			return strings.Repeat("\n", strings.Count(block, "\n")) // so that lines keep their numbers
		})
		for _, at := range span.FindAllStringSubmatchIndex(text, -1) {
			name := strings.Join(strings.Fields(text[at[2]:at[3]]), " ")
			if reference.MatchString(name) {
				references++
			}
			if why := s.missing(path.Dir(file), name, settings, flags); why != "" {
				t.Errorf("%s:%d: `%s` %s", file, lineOf(text, at[0]), name, why)
			}
		}
		for _, at := range link.FindAllStringSubmatchIndex(text, -1) {
			if err := s.follow(file, text[at[2]:at[3]]); err != nil {
				t.Errorf("%s:%d: %v", file, lineOf(text, at[0]), err)
			}
		}
	}
	for file, text := range s.files {
		for _, m := range section.FindAllStringSubmatch(text, -1) {
			if path.Ext(file) == ".go" && !strings.Contains(s.files[m[1]], "# "+m[2]) {
				t.Errorf("%s: %s has no section %q", file, m[1], m[2])
			}
		}
	}
	if references < 60 {
		t.Errorf("only %d references to functions", references)
	}
}

// lineOf returns the line of an offset of text, from 1.
func lineOf(text string, offset int) int { return 1 + strings.Count(text[:offset], "\n") }

// follow reports where a link of a document leads to nothing.
func (s sources) follow(file, target string) error {
	if strings.Contains(target, "://") {
		return nil
	}
	name, anchor, _ := strings.Cut(target, "#")
	to := file
	if name != "" {
		to = path.Join(path.Dir(file), name)
	}
	if !s.hasPath(".", to) {
		return fmt.Errorf("the link to %s leads to nothing", target)
	}
	for line := range strings.SplitSeq(s.files[to], "\n") {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && line[0] == '#' && slug(title) == anchor {
			return nil
		}
	}
	if anchor != "" {
		return fmt.Errorf("the link to %s: %s has no such heading", target, to)
	}
	return nil
}

// slug returns the anchor of a heading, as GitHub makes it.
func slug(title string) string {
	var b bytes.Buffer
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z':
			b.WriteRune(r)
		}
	}
	return b.String()
}
