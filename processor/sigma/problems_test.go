package sigma

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// problemsOf returns the problems of a text.
func problemsOf(text string) (*Rules, []Problem) {
	var l Loader
	l.File("x.yml", []byte(text))
	return l.Rules()
}

// wantProblem checks that a text has exactly one problem, at a line, containing a text.
func wantProblem(t *testing.T, text string, line int, want string) {
	t.Helper()
	rules, problems := problemsOf(text)
	if len(problems) != 1 || problems[0].Line != line || problems[0].File != "x.yml" || !strings.Contains(problems[0].Text, want) {
		t.Errorf("%s\nhas the problems %v, want one at line %d with %q", text, problems, line, want)
	}
	if len(rules.List)+len(rules.Correlations) > strings.Count(text, "title: right") {
		t.Errorf("%s\nis loaded although something is wrong", text)
	}
}

// TestFieldProblems has a case per unsupported or invalid construct of fields and values.
// The field is in line 5.
func TestFieldProblems(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		wantProblem(t, rule("s:\n  "+line+"\ncondition: s"), 5, want)
	}
	for _, name := range []string{"base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash", "expand", "minute", "hour", "day", "week", "month", "year"} {
		f("a|"+name+": x", "the modifier "+name+" is not supported; ")
		f("a|"+name+"|contains: x", "the modifier "+name+" is not supported; ")
	}
	f("a|contain: x", `the modifier "contain" is unknown; Keytrail has contains`)
	f("a|: x", `the modifier "" is unknown`)
	f("a|i: x", "the modifier i stands only behind re")
	f("a|contains|startswith: x", "the modifiers contains and startswith exclude each other")
	f("a|re|contains: x", "exclude each other")
	f("a|re|cased: x", "cased does not go with re")
	f("a|fieldref|re: b", "fieldref does not go with re")
	f("a|gt|neq: 1", "neq does not go with gt")
	f("a|exists|all: true", "all does not go with exists")
	f("a|exists: 1", "write true or false")
	f("a|exists: 'true'", "write true or false without quotes")
	f("a|gt: ten", `gt is compared with "ten", which is not a number`)
	f("a|lte: '10'", "write a number without quotes")
	f("a|re: '(?=x)'", "cannot be used")
	f("a|re: '(a)\\1'", "cannot be used")
	f("a|re: 'a)(b'", "cannot be used")
	f("a|re|i: 'a++'", "RE2")
	f("a|re: "+strings.Repeat("a", maxRegexp+1), "the limit is 4096")
	f("a|cidr: 10.0.0.*", "is not a network")
	f("a|cidr: 10.0.0.0/33", "is not a network")
	f("a|fieldref: 'b..c'", "has an empty part")
	f("a: [x, null]", "null stands in a list")
	f("a|contains: null", "null stands in a list or behind a modifier")
	f("a: 012", "is a number for YAML")
	f("a: 0x1F", "write it in quotes")
	f("a: 1_000", "is a number for YAML")
	f("a: .inf", "is a number for YAML")
	f("a: []", "has an empty list")
	f("a: {b: c}", "a value is a map")
	f("a: [[b]]", "a value is a list")
	f("a: !!binary aGk=", "has the type !!binary")
	f("a: "+strings.Repeat("x", maxValueBytes+1), "the limit is 16384")
	f("a..b: x", "has an empty part")
	f("a[0]: x", "is not a path")
	f("'a.*': x", "is not a path")
	f("'': x", "a field has no name")
	f(strings.Repeat("a.", 16)+"b: x", "is too long")
	f("'|startswith': x", "keywords are looked for anywhere")
	f("'|cidr': 10.0.0.0/8", "needs a field")
	f("? [a]\n  : x", "not plain text")
}

// TestDetectionProblems has the cases of selections and conditions.
func TestDetectionProblems(t *testing.T) {
	f := func(detection string, line int, want string) {
		t.Helper()
		wantProblem(t, rule(detection), line, want)
	}
	f("s: {a: b}", 4, "has no condition")
	f("s: {a: b}\ncondition: s and t", 5, `names the selection "t", which is not there; the selections are s`)
	f("s: {a: b}\ncondition: s and", 5, "ends where the name of a selection should stand")
	f("s: {a: b}\ncondition: s s", 5, `goes on with "s"`)
	f("s: {a: b}\ncondition: (s", 5, "lacks a closing parenthesis")
	f("s: {a: b}\ncondition: s)", 5, `goes on with ")"`)
	f("s: {a: b}\ncondition: or s", 5, `has "or" where`)
	f("s: {a: b}\ncondition: 2 of s*", 5, `Sigma knows "1 of" and "all of"`)
	f("s: {a: b}\ncondition: 1 of", 5, "name selections")
	f("s: {a: b}\ncondition: s or 1 of t*", 5, `no selection fits "1 of t*"`)
	f("_s: {a: b}\ncondition: _s or 1 of _*", 5, "no selection fits")
	f("s: {a: b}\ncondition: s | count() > 5", 5, "which Sigma gave up")
	f("s: {a: b}\ncondition: []", 5, "the condition is a list")
	f("s: {a: b}\ncondition: {a: b}", 5, "the condition is a map")
	f("s: {a: b}\ncondition:\n  - s\n  - t", 7, `names the selection "t"`)
	f("s: {a: b}\ncondition: "+strings.Repeat("(", 60)+"s"+strings.Repeat(")", 60), 5, "nests more than 50 deep")
	f("s: {a: b}\ncondition: "+strings.Repeat("s or ", 600)+"s", 5, "more than 1000 words")
	f("s: {a: b}\nt: {a: c}\ncondition: s", 5, `does not use the selection "t"`)
	f("s: {a: b}\ntimeframe: 5m\ncondition: s", 5, "timeframe belongs to conditions that count")
	f("s: {a: b}\nnot: {a: c}\ncondition: s", 5, "cannot refer to")
	f("s: {a: b}\n't|endswith': {a: c}\ncondition: s", 5, "cannot refer to")
	f("'': {a: c}\ns: {a: b}\ncondition: s", 4, "cannot refer to")
	f("s: {}\ncondition: s", 4, "is an empty map")
	f("s: []\ncondition: s", 4, "is a list")
	f("s: null\ncondition: s", 4, "is nothing")
	f("s: [[a]]\ncondition: s", 4, "is a list")
	f("s: [null]\ncondition: s", 4, "is nothing")
	f("s:\n  a: b\n  a: c\ncondition: s", 6, `"a" stands here twice, first on line 5`)
	f("s:\n  a:\n    - b\n    - c: d\ncondition: s", 7, "a value is a map")
	f("s:\n  a: &x [b]\n  c: *x\ncondition: s", 6, "alias is not supported")
	f("s:\n  <<: {a: b}\ncondition: s", 5, "not plain text")
	f("s:\n  a: ["+strings.Repeat("x,", maxTests+1)+"]\ncondition: s", 5, "more than 20000 values")
}

// TestDocumentProblems has the cases around a detection.
func TestDocumentProblems(t *testing.T) {
	const detection = "detection: {s: {a: b}, condition: s}\n"
	const source = "logsource: {product: aws, service: cloudtrail}\n"
	f := func(text string, line int, want string) {
		t.Helper()
		wantProblem(t, text, line, want)
	}
	f("", 0, "the file is empty")
	f("just text", 1, "the document is")
	f("title: x\n"+source, 1, "the document is not a rule")
	f(source+detection, 1, "has no title")
	f("title: [x]\n"+source+detection, 1, "title is a list")
	f("title: ''\n"+source+detection, 1, "title is empty")
	f("title: x\n"+detection, 1, "has no logsource")
	f("title: x\nlogsource: {definition: x}\n"+detection, 2, "has no product")
	f("title: x\nlevel: severe\n"+source+detection, 2, `level is "severe"; write one of informational`)
	f("title: x\nstatus: done\n"+source+detection, 2, `status is "done"`)
	f("title: x\ntaxonomy: ecs\n"+source+detection, 2, "only sigma is supported")
	f("title: x\ntags: {a: b}\n"+source+detection, 2, "tags is a map")
	f("title: x\nLevel: high\n"+source+detection, 2, `"Level" is not the key level`)
	f("title: x\ntag: [a]\n"+source+detection, 2, "is not the key tags")
	f("title: x\ngenerate: true\n"+source+detection, 2, "generate belongs to correlations")
	f("title: x\naction: global\n"+source+detection, 2, "before version 2")
	f("title: x\n"+source+"filter: {rules: [a], s: {a: b}, condition: s}\n", 3, "Sigma filters are not supported")
	f("title: x\n"+source+detection+"correlation: {}\n", 4, "both detection and correlation")
	f("title: x\ntitle: y\n"+source+detection, 2, "stands here twice")
	f("title: x\n\tbad", 2, "no YAML")
	f("title: x\ny: \x01\n", 2, "no YAML: control characters")
	f("title: x\n\ny: \xff\n", 3, "no YAML")
	f("title: x\ny: *z\n", 2, "unknown anchor 'z'")
	f("a: "+strings.Repeat("[", 40)+strings.Repeat("]", 40), 1, "nest more than 30 deep")
	right := "title: right\n" + source + detection
	f(right+"---\n"+right, 5, `is known by "right", as is x.yml:1`)
	f("title: right\nname: n\nid: 1\n"+source+detection+"---\ntitle: two\nname: n\nid: 2\n"+source+detection, 7, `the name "n" belongs to x.yml:1 as well`)
	f(right+"---\ntitle: 'open\n", 5, "no YAML")
	f(strings.Repeat(" ", MaxFileBytes+1), 0, "more than 1048576 bytes")
}

// TestAllProblems checks that all problems of a directory are reported in order, and that
// valid rules are loaded.
func TestAllProblems(t *testing.T) {
	bad := rule("s:\n  a|expand: x\n  b|re: '('\ncondition: s and t")
	fsys := fstest.MapFS{
		"b/two.yml":       {Data: []byte(bad + "---\n" + strings.Replace(rule("s: {a: b}\ncondition: s"), "a rule", "right", 1))},
		"a.yaml":          {Data: []byte("title: other\nlogsource: {product: windows, category: process_creation}\ndetection: {s: {a|windash: b}, condition: s}\n")},
		"readme.md":       {Data: []byte("# no rule")},
		".git/config.yml": {Data: []byte("no rule")},
		"c.yml":           {Data: []byte("title: unfit\nstatus: unsupported\nlogsource: {product: aws}\ndetection: {s: {a: b}, condition: s | near t}\n")},
		"d.yml":           {Data: []byte(bad)},
	}
	rules, problems := Load(fsys)
	var got []string
	for _, p := range problems {
		text, _, _ := strings.Cut(p.String(), ";")
		got = append(got, text)
	}
	want := []string{
		`b/two.yml:5: the field "a|expand": the modifier expand is not supported`,
		"b/two.yml:6: the field \"b\": the regular expression \"(\" cannot be used: error parsing regexp: missing closing ): `(`",
		`b/two.yml:7: the condition names the selection "t", which is not there`,
		`d.yml:5: the field "a|expand": the modifier expand is not supported`,
		"d.yml:6: the field \"b\": the regular expression \"(\" cannot be used: error parsing regexp: missing closing ): `(`",
		`d.yml:7: the condition names the selection "t", which is not there`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(rules.List) != 1 || rules.List[0].Title != "right" || rules.List[0].File != "b/two.yml" || rules.List[0].Line != 9 {
		t.Errorf("loaded are %+v", rules.List)
	}
	if len(rules.Skipped) != 2 || rules.Skipped[0].File != "a.yaml" || !strings.Contains(rules.Skipped[0].Reason, "category process_creation") ||
		rules.Skipped[1].Reason != "its status is unsupported" {
		t.Errorf("skipped are %+v", rules.Skipped)
	}
	capitals := fstest.MapFS{"x.YML": {Data: []byte(rule("s: {a: b}\ncondition: s"))}, "y.Yaml": {Mode: fs.ModeNamedPipe}}
	if rules, problems = Load(capitals); len(rules.List) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Text, "is not a regular file") {
		t.Errorf("names in capitals: %d rules, %v", len(rules.List), problems)
	}
	if _, problems = Load(fstest.MapFS{"x.txt": {}}); len(problems) != 1 || !strings.Contains(problems[0].Text, "no file whose name ends") {
		t.Errorf("a directory without rules has the problems %v", problems)
	}
	if _, problems = Load(fstest.MapFS{"x.yml": {Mode: fs.ModeNamedPipe}}); len(problems) != 1 || problems[0].String() != "x.yml: is not a regular file; opening it might block forever" {
		t.Errorf("a pipe has the problems %v", problems)
	}
	if _, problems = Load(unreadable{}); len(problems) != 1 || !strings.Contains(problems[0].Text, "cannot be read") {
		t.Errorf("a directory that cannot be read has the problems %v", problems)
	}
}

type unreadable struct{}

func (unreadable) Open(string) (fs.File, error) { return nil, errors.New("no") }

// TestTooManyRules checks that an exceeded bound of a set is reported once.
func TestTooManyRules(t *testing.T) {
	var text strings.Builder
	for i := range MaxRules + 5 {
		fmt.Fprintf(&text, "---\n%s", strings.Replace(rule(fmt.Sprintf("s: {a%d: b}\ncondition: s", i%10)), "a rule", fmt.Sprint("rule ", i), 1))
	}
	rules, problems := problemsOf(text.String())
	if len(rules.List) != MaxRules || len(problems) != 1 || !strings.Contains(problems[0].Text, "more than 1000 rules") {
		t.Errorf("%d rules, %v", len(rules.List), problems)
	}
	text.Reset()
	for i := range 12 { // lists of maps, each with its own field
		fmt.Fprintf(&text, "---\ntitle: %d\nlogsource: {product: aws}\ndetection:\n  condition: s\n  s:\n", i)
		for j := range 500 {
			fmt.Fprintf(&text, "    - f%d_%d: x\n", i, j)
		}
	}
	rules, problems = problemsOf(text.String())
	if len(rules.List) != 10 || len(problems) != 2 || !strings.Contains(problems[0].Text, "more than 5000 fields") {
		t.Errorf("%d rules, %v", len(rules.List), problems)
	}
	text.Reset()
	for i := range MaxProblems + 3 {
		fmt.Fprintf(&text, "---\ntitle: %d\n", i)
	}
	if _, problems = problemsOf(text.String()); len(problems) != MaxProblems+1 || !strings.Contains(problems[MaxProblems].Text, "3 more problems") {
		t.Errorf("%d problems, the last %v", len(problems), problems[len(problems)-1])
	}
}

// TestNotes checks that fields which no event has are reported, once per rule.
func TestNotes(t *testing.T) {
	rules := loadText(t, rule("s:\n  eventName: A\n  eventname:\n    - B\n    - C\n  status|contains: x\n  userIdentity.typo: y\nk: [word]\nt: {status: z}\ncondition: s or k or t"))
	var got []string
	for _, n := range rules.Notes {
		got = append(got, n.String())
	}
	const want = " at the top; see whether its name is right, case included"
	if len(got) != 2 || got[0] != `rules.yml:7: CloudTrail's events have no field "eventname"`+want || got[1] != `rules.yml:9: CloudTrail's events have no field "status"`+want {
		t.Errorf("the notes are %q", got)
	}
}

// TestMeta checks the metadata of a rule.
func TestMeta(t *testing.T) {
	rules := loadText(t, "# first\n---\ntitle: One\nid: 7c1f\nname: one\nlevel: critical\ntags: [attack.exfiltration, attack.t1530, attack.T1078.004, attack.t1530, attack.t15, cve.2024-1]\ncustom: {any: thing}\n"+
		"logsource: {product: AWS, service: CloudTrail}\ndetection: {s: {a: b}, condition: s}\n---\ntitle: Two\nlogsource: {service: cloudtrail}\ndetection: {s: {a: b}, condition: s}\n")
	one, two := rules.List[0], rules.List[1]
	if one.ID != "7c1f" || one.Name != "one" || one.Title != "One" || one.Level != Critical || one.Level.Score() != 10 || one.Level.String() != "critical" ||
		strings.Join(one.Techniques, " ") != "T1530 T1078.004" || len(one.Tags) != 6 || one.Line != 3 || one.File != "rules.yml" || one.Index != 0 {
		t.Errorf("the first rule is %+v", one)
	}
	if two.ID != "Two" || two.Level != Medium || two.Level.Score() != 6 || two.Line != 12 || two.Index != 1 || two.Silent {
		t.Errorf("the second rule is %+v", two)
	}
	for level, want := range map[Level]float64{Informational: 2, Low: 4, High: 8} {
		if level.Score() != want {
			t.Errorf("%v has the score %v, want %v", level, level.Score(), want)
		}
	}
}
