package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A phrase is wording that makes a reader stop, and what to write instead.
type phrase struct {
	re      *regexp.Regexp
	unless  *regexp.Regexp // matches a legitimate use around it; nil: none is
	instead string
}

// phrases are matched against whole paragraphs, comments and string literals, in
// which line breaks have become spaces.
var phrases = []phrase{
	{re: regexp.MustCompile(`\bcan not\b`), instead: "cannot"},
	{re: regexp.MustCompile(`\bat the (most|least)\b`), instead: "at most, at least"},
	{re: regexp.MustCompile(`\b(tells?|says?) whether\b`), instead: "reports whether"},
	{
		re:      regexp.MustCompile(`\b(is|are|was|were) no [a-z]+`),
		unless:  regexp.MustCompile(`(?i)\bthere (is|are|was|were) no [a-z]+|\b(is|are|was|were) no (longer|more|less|later|earlier|older|larger|smaller|better|greater|fewer|higher|different)\b`),
		instead: "is not a",
	},
	{
		re:      regexp.MustCompile(`\b(is|are|was|were) none\b`),
		unless:  regexp.MustCompile(`(?i)\bthere (is|are|was|were) none\b`),
		instead: "is not a; are not",
	},
	{re: regexp.MustCompile(`\bin place of\b`), instead: "instead of"},
	{re: regexp.MustCompile(`\bnothing but\b`), instead: "only"},
	{re: regexp.MustCompile(`\bbut for\b`), unless: regexp.MustCompile(`\bnot for [^.]*but for\b`), instead: "except"},
	{re: regexp.MustCompile(`\bfor ever\b`), instead: "forever, without end, permanently"},
	{re: regexp.MustCompile(`\b(becomes?|became) of\b`), instead: "how X is handled, the outcome of X"},
	{re: regexp.MustCompile(`\b(is|are|was|were) told (of|that|what)\b`), instead: "receives, learns"},
	{re: regexp.MustCompile(`\banew\b`), instead: "again"},
	{re: regexp.MustCompile(`\bat hand\b`), instead: "current, available"},
	{re: regexp.MustCompile(`\b(has|have) no use for\b`), instead: "cannot be combined with, does not use"},
	{
		re:      regexp.MustCompile(`\bof (one's|your|its|their|our) own([.,;:)]| (and|or|that|which|with|for|in|by|to|as|is|are|was|at|on|from|beside|when|where|so)\b|$)`),
		instead: "its own X",
	},
	{re: regexp.MustCompile(`\bwithout a word\b`), instead: "silently"},
	{re: regexp.MustCompile(`\b[Oo]ff a terminal\b`), instead: "when standard output is not a terminal"},
	{re: regexp.MustCompile(`\broom for garbage\b`), instead: "GC headroom"},
	{re: regexp.MustCompile(`(^|[.;] )Of (it|them|what|a|an)\b`), instead: "the subject first"},
	{re: regexp.MustCompile(`(^|\. )(What|Who|Whoever) [a-z][^.?:]*(\.|$)`), instead: "a noun as the subject"},
}

// heading matches a heading that is a clause without its question mark.
var heading = regexp.MustCompile(`^#+ (What|Who|Which|Where|Whose) [^?]*$`)

// notRewritten lists the folders and files whose prose breaks the rules still. An
// entry goes when its last phrase does; none is added.
var notRewritten = []string{}

// tooWide lists the folders with Go lines of more than 120 columns. An entry goes
// when its last such line does; none is added.
var tooWide = []string{}

// listed returns the entry of list that name is or lies below, or "".
func listed(list []string, name string) string {
	for _, entry := range list {
		if name == entry || strings.HasPrefix(name, entry+"/") {
			return entry
		}
	}
	return ""
}

// A finding is one offence against the rules for prose.
type finding struct {
	file string
	line int
	text string
}

// findPhrases returns the forbidden phrases of one paragraph.
func findPhrases(file string, line int, text string) (list []finding) {
	text = strings.Join(strings.Fields(text), " ")
	for _, p := range phrases {
		for _, at := range p.re.FindAllStringIndex(text, -1) {
			if !overlaps(p.unless, text, at) {
				list = append(list, finding{file, line, fmt.Sprintf("%q: write %s", text[at[0]:at[1]], p.instead)})
			}
		}
	}
	return list
}

// overlaps reports whether a match of re, if any, shares a byte with text[at[0]:at[1]].
func overlaps(re *regexp.Regexp, text string, at []int) bool {
	if re == nil {
		return false
	}
	for _, m := range re.FindAllStringIndex(text, -1) {
		if m[0] < at[1] && at[0] < m[1] {
			return true
		}
	}
	return false
}

// code matches what Markdown sets as code, which is not prose.
var code = regexp.MustCompile("`[^`]*`")

// markdownFindings returns the forbidden phrases and the wide lines of a document.
// Code blocks are not prose; tables and lines with a link may be wide.
func markdownFindings(file, text string) (said, wide []finding) {
	var paragraph []string
	begin, block := 0, false
	flush := func() {
		prose := code.ReplaceAllString(strings.Join(paragraph, " "), "X")
		said = append(said, findPhrases(file, begin, prose)...)
		paragraph = nil
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		fence := strings.HasPrefix(trimmed, "```")
		item := strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "#")
		if fence || block || item || trimmed == "" {
			flush()
		}
		if fence {
			block = !block
		}
		if block || fence || trimmed == "" {
			continue
		}
		if paragraph == nil {
			begin = i + 1
		}
		if heading.MatchString(trimmed) {
			said = append(said, finding{file, i + 1, fmt.Sprintf("heading %q: write a noun phrase", trimmed)})
		}
		if strings.HasPrefix(trimmed, "|") {
			for _, cell := range strings.Split(trimmed, "|") {
				said = append(said, findPhrases(file, i+1, code.ReplaceAllString(cell, "X"))...)
			}
			continue
		}
		paragraph = append(paragraph, strings.TrimLeft(trimmed, "-#*0123456789. "))
		if utf8.RuneCountInString(line) > 90 && !strings.Contains(line, "](") && !strings.Contains(line, "://") {
			wide = append(wide, finding{file, i + 1, fmt.Sprintf("%d columns, at most 90", utf8.RuneCountInString(line))})
		}
	}
	flush()
	return said, wide
}

// goFindings returns the forbidden phrases in the comments of a Go file and, unless
// it is a test, in its strings, and its lines of more than 120 columns. Rows of
// tables and lines with a URL may be wide.
func goFindings(file string, text []byte) (said, wide []finding, err error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, parser.ParseComments)
	if err != nil {
		return nil, nil, err
	}
	if ast.IsGenerated(tree) {
		return nil, nil, nil
	}
	for _, group := range tree.Comments {
		if strings.Contains(group.List[0].Text, "#include") {
			continue // the C code of a cgo preamble
		}
		for _, paragraph := range strings.Split(group.Text(), "\n\n") {
			said = append(said, findPhrases(file, set.Position(group.Pos()).Line, paragraph)...)
		}
	}
	test := strings.HasSuffix(file, "_test.go")
	ast.Inspect(tree, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if ok && literal.Kind == token.STRING && !test {
			value, _ := strconv.Unquote(literal.Value)
			said = append(said, findPhrases(file, set.Position(literal.Pos()).Line, value)...)
		}
		return true
	})
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		row := strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, `"`) || strings.HasPrefix(trimmed, "`") || test
		if n := utf8.RuneCountInString(line); n > 120 && !row && !strings.Contains(line, "://") {
			wide = append(wide, finding{file, i + 1, fmt.Sprintf("%d columns, at most 120", n)})
		}
	}
	return said, wide, nil
}

// TestProse holds documents, comments and messages to the rules that a program can
// hold: no forbidden phrase, 90 columns in documents and 120 in code.
func TestProse(t *testing.T) {
	var said, wide []finding
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		hidden := len(name) > 1 && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && (hidden || d.Name() == "testdata" || d.Name() == "build"):
			return filepath.SkipDir
		case name == "prose_test.go": // it spells out what it forbids
			return nil
		}
		switch filepath.Ext(name) {
		case ".md", ".go":
		default:
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var s, w []finding
		if filepath.Ext(name) == ".md" {
			s, w = markdownFindings(name, string(text))
		} else if s, w, err = goFindings(name, text); err != nil {
			return err
		}
		said, wide = append(said, s...), append(wide, w...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	report(t, said, notRewritten, "notRewritten")
	report(t, wide, tooWide, "tooWide")
}

// TestProseIsRead holds the search to what it must find and must leave alone.
func TestProseIsRead(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		if got := findPhrases("x.md", 1, text); len(got) != want {
			t.Errorf("%q: %d findings, want %d: %v", text, len(got), want, got)
		}
	}
	f("It can not be read.", 1)
	f("What is wrong becomes a BadRecord.", 1)
	f("isKey tells whether s is\none.", 1)
	f("It is no key. There is no key. It is no longer a key.", 1)
	f("Rules of your own. An hour of its own hours.", 1)
	f("Of it the detectors take half. Of the detectors, two differ.", 1)
	f("What is measured? It says what is wrong.", 0)
	said, wide := markdownFindings("x.md", "## What is measured\n\n```\ncan not\n```\n\n| a | can\nnot |\n"+strings.Repeat("x ", 46)+"\n")
	if len(said) != 2 || len(wide) != 1 {
		t.Errorf("markdown: %v and %v, want the heading twice and a wide line", said, wide)
	}
	said, wide, err := goFindings("x.go", []byte("package x\n\n// x tells whether\n// it can not.\nvar x = `is no key` + \"`at the most`\"\n"))
	if err != nil || len(said) != 4 || len(wide) != 0 {
		t.Errorf("code: %v, %v, %v, want four findings", said, wide, err)
	}
}

// TestReadmeIsShort holds README.md to what a reader takes in at once.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 150 {
		t.Errorf("README.md has %d lines, at most 150: move details to docs", n)
	}
}

// report fails for each finding that no entry of list excuses, and for each entry
// that excuses nothing.
func report(t *testing.T, findings []finding, list []string, name string) {
	t.Helper()
	used := map[string]int{}
	for _, f := range findings {
		if entry := listed(list, filepath.ToSlash(f.file)); entry != "" {
			used[entry]++
			continue
		}
		t.Errorf("%s:%d: %s", f.file, f.line, f.text)
	}
	for _, entry := range list {
		if _, err := os.Stat(entry); err == nil && used[entry] == 0 {
			t.Errorf("%s holds now: delete it from %s", entry, name)
		}
	}
	t.Logf("%s: %d findings are excused: %v", name, len(findings), used)
	if !slices.IsSorted(list) {
		t.Errorf("%s is not sorted", name)
	}
}
