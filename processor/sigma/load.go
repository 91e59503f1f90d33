package sigma

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Load reads the rules in every file below the root of fsys whose name ends in .yml or
// .yaml, in either case. It returns the valid rules together with all problems, at most
// MaxProblems, ordered by file and line. A caller that wants all or nothing checks the
// problems first.
func Load(fsys fs.FS) (*Rules, []Problem) {
	var l Loader
	l.Dir(fsys, "")
	return l.Rules()
}

// Loader collects rules from several places. The zero value is ready; it is not safe
// for concurrent use.
type Loader struct {
	rules        []*Rule
	correlations []*pending
	nodes        map[*Rule]*yaml.Node
	skipped      []Skipped
	problems     []Problem
	order        map[string]int // of the files that problems name
	notes        []Problem
	wrong        int // number of problems, including dropped ones
	files        int
	full         bool // MaxRules is reached
	paths        map[string]bool
	ids, names   map[string]*Meta
	left         map[string]bool // ids and names of skipped documents
	broken       map[string]bool // and of invalid ones
}

func (l *Loader) problem(p Problem) {
	if l.wrong++; l.wrong > MaxProblems {
		return
	}
	if l.order == nil {
		l.order = map[string]int{}
	}
	if _, known := l.order[p.File]; !known {
		l.order[p.File] = len(l.order)
	}
	l.problems = append(l.problems, p)
}

// Dir adds the files below the root of fsys. prefix, which ends in a slash or is empty,
// precedes their names in messages.
func (l *Loader) Dir(fsys fs.FS, prefix string) {
	found, before := false, l.wrong
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.problem(Problem{File: prefix + name, Text: fmt.Sprintf("cannot be read: %v", err)})
			return nil
		case entry.IsDir():
			if base := path.Base(name); name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir // .git and the like
			}
			return nil
		case !slices.Contains([]string{".yml", ".yaml"}, strings.ToLower(path.Ext(name))):
			return nil
		}
		found = true
		if kind := entry.Type(); !kind.IsRegular() && kind != fs.ModeSymlink {
			l.problem(Problem{File: prefix + name, Text: "is not a regular file; opening it might block forever"})
			return nil
		}
		l.open(fsys, name, prefix+name)
		if l.files > MaxFiles {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		l.problem(Problem{File: prefix, Text: fmt.Sprintf("cannot be read: %v", err)})
	} else if !found && l.wrong == before {
		l.problem(Problem{File: path.Clean(prefix), Text: "there is no file whose name ends in .yml or .yaml; name the " +
			"directory that has the rules"})
	}
}

// open reads one file.
func (l *Loader) open(fsys fs.FS, name, shown string) {
	f, err := fsys.Open(name)
	if err != nil {
		l.problem(Problem{File: shown, Text: fmt.Sprintf("cannot be read: %v", err)})
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		l.problem(Problem{File: shown, Text: fmt.Sprintf("cannot be read: %v", err)})
		return
	}
	l.File(shown, text)
}

// File adds the documents of one file; name is its name in messages.
func (l *Loader) File(name string, text []byte) {
	f := &file{name: name, lines: 1, loader: l}
	if l.files++; l.files > MaxFiles {
		f.problem(0, "", "there are more than %d files; name a directory with fewer", MaxFiles)
		return
	}
	if len(text) > MaxFileBytes {
		f.problem(0, "", "the file has more than %d bytes; split it", MaxFileBytes)
		return
	}
	for _, r := range string(text) {
		if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) { // line ends of YAML
			f.lines++
		}
	}
	decoder, documents := yaml.NewDecoder(bytes.NewReader(text)), 0
	for {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.syntax(err, string(text))
			return
		}
		if documents++; len(root.Content) == 1 && !empty(root.Content[0]) {
			f.document(root.Content[0])
		}
	}
	if documents == 0 {
		f.problem(0, "", "the file is empty; write a rule, or take the file away")
	}
}

// empty reports whether a document is empty: a separator without content.
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// The YAML parser's errors have no type, and some have no line.
var (
	yamlLine   = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	yamlAnchor = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced$`)
)

func (f *file) syntax(err error, text string) {
	line, said := 0, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		if n, aerr := strconv.Atoi(m[1]); aerr == nil {
			line, said = n, m[2]
		}
	} else if m := yamlAnchor.FindStringSubmatch(err.Error()); m != nil {
		line = lineOf(text, strings.Index(text, "*"+m[1]))
	} else {
		line = lineOf(text, strings.IndexFunc(text, func(r rune) bool {
			return r == utf8.RuneError || r < ' ' && !strings.ContainsRune("\t\n\r", r) || r == 0x7f
		}))
	}
	f.problem(line, "what follows in this file was not read", "no YAML: %s", said)
}

// lineOf returns the line of a position, or 0 without one.
func lineOf(text string, at int) int {
	if at < 0 {
		return 0
	}
	return 1 + strings.Count(text[:at], "\n")
}

// document adds one document: a rule, or a correlation.
func (f *file) document(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		f.problem(n.Line, "write a rule: title, logsource, detection", "the document is %s", what(n))
		return
	}
	if !f.noAliases(n, 0) {
		return
	}
	before := f.loader.wrong
	d := document{file: f, keys: map[string]*yaml.Node{}}
	for _, p := range f.pairs(n) {
		d.keys[p.name] = p.value
		if near := misspelt(p.name); near != "" {
			f.problem(p.line, "", "%s is not the key %s; write that, or choose another name", quoted(p.name), near)
		}
	}
	d.read(n, before)
	if f.loader.wrong > before { // for correlations, to which its rules are known but invalid
		if f.loader.broken == nil {
			f.loader.broken = map[string]bool{}
		}
		f.loader.broken[d.meta.ID], f.loader.broken[d.meta.Name] = true, true
	}
}

// Bounds of the YAML itself.
const maxNesting = 30

// noAliases reports whether n contains no aliases, which could expand without end, and no
// deeper nesting than a rule needs.
func (f *file) noAliases(n *yaml.Node, depth int) bool {
	if n.Kind == yaml.AliasNode {
		f.problem(n.Line, "write the value out", "a YAML alias is not supported")
		return false
	}
	if depth > maxNesting {
		f.problem(n.Line, "", "values nest more than %d deep; a rule does not need that", maxNesting)
		return false
	}
	for _, x := range n.Content {
		if !f.noAliases(x, depth+1) {
			return false
		}
	}
	return true
}

// meaningful are the keys that change a rule's effect. Others are free: the specification
// allows any.
var meaningful = []string{"title", "id", "name", "taxonomy", "status", "logsource", "detection", "level", "tags",
	"correlation", "generate", "filter", "action"}

// misspelt returns the meaningful key that name equals except for case, hyphens or a
// plural s, or "".
func misspelt(name string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s)), "s")
	}
	for _, key := range meaningful {
		if name != key && plain(name) == plain(key) {
			return key
		}
	}
	return ""
}

// Rules returns the compiled rules and all problems. The Loader must not be used
// afterwards.
func (l *Loader) Rules() (*Rules, []Problem) {
	byName, byID := map[string]*Rule{}, map[string]*Rule{}
	for _, r := range l.rules {
		if byID[r.ID] = r; r.Name != "" {
			byName[r.Name] = r
		}
	}
	set := &Rules{List: l.rules}
	for _, p := range l.correlations {
		if p.resolve(l, byName, byID, l.nodes) {
			set.Prints = append(set.Prints, p.c.Fingerprint)
			p.c.Index = len(set.Correlations)
			set.Correlations = append(set.Correlations, p.c)
		}
	}
	set.Skipped, set.Notes = l.skipped, l.notes
	for i, r := range l.rules {
		set.Prints = append(set.Prints, fingerprint(l.nodes[r]))
		r.Index = i
		r.uses = slices.DeleteFunc(r.uses, func(u use) bool { return !slices.Contains(set.Correlations, u.c) })
		r.Silent = len(r.uses) > 0 && !slices.ContainsFunc(r.uses, func(u use) bool { return u.c.Generate })
	}
	slices.Sort(set.Prints)
	set.compile()
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(l.order[a.File], l.order[b.File]), cmp.Compare(a.Line, b.Line))
	})
	if l.wrong > len(l.problems) {
		l.problems = append(l.problems, Problem{File: "rules", Text: fmt.Sprintf("%d more problems are not shown",
			l.wrong-len(l.problems))})
	}
	return set, l.problems
}

// fingerprint is a hash of the text of a document and of those that it depends on.
func fingerprint(nodes ...*yaml.Node) uint64 {
	h := sha256.New()
	for _, n := range nodes {
		text, err := yaml.Marshal(n)
		if err != nil { // a parsed node always encodes
			panic(err)
		}
		h.Write(text)
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}
