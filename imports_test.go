package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layers is the order of DESIGN.md, "Layout", lowest first. A package may import packages
// of the rows above its own, and those that its own pattern matches. In a pattern, "*" is
// any one name, and "a/..." is a and all below. A package's own name beats patterns, and
// patterns of higher rows beat those of lower ones.
var layers = [][]string{
	{"schemas/semconv", "schemas/kms", "schemas/printable", "schemas/view", "schemas/decoding", "schemas/jsonschema",
		"schemas/corpus", "schemas/internal/*"},
	{"schemas/otellog"},
	{"schemas/wire", "schemas/body/...", "schemas/otelmetric", "schemas/registry/...", "schemas/*/*"}, // the last: the folders of a cloud
	{"schemas/cloud"},

	{"processor/setting", "processor/lograte", "processor/eventtime", "processor/plot",
		"processor/linefile", "processor/lockfile", "processor/source", "processor/generate", "processor/internal/module", "processor/internal/certs", "processor/internal/apitest", "processor/internal/oracle/...", "processor/internal/quality/family"},
	{"processor/source/...", "processor/kafka", "processor/sink", "processor/telemetry", "processor/screen",
		"processor/baseline", "processor/dedup", "processor/sigma", "processor/rule", "processor/explain"},
	{"processor/status"}, {"processor/api"},
	{"processor/read", "processor/count", "processor/kafka/kafkatest", "processor/sink/sinktest", "processor/sink/httpsink",
		"processor/sink/ids"},
	{"processor/sink/awssink"},
	{"processor/entity", "processor/sink/*"},
	{"processor/anomaly", "processor/keyledger", "processor/sink/all", "processor/store"},
	{"processor/web", "processor/usage", "processor/reconcile"},
	{"processor/detector", "processor/correlate", "processor/incident", "processor/intake", "processor/report"},
	{"processor/window", "processor/cli/*"},
	{"processor/state", "processor/scan", "processor/config", "processor/internal/*"},
	{"processor/stream", "processor/deadletter", "processor/tap"},
	{"processor/demo"},
	{"processor/cli"},

	{"plugins/internal/*", "plugins/plugintest", "deploy/deploytest"},
	{"plugins/*"},
	{"."},
}

// A limit holds packages to some imports, or imports to some packages.
type limit struct {
	of   string // a pattern
	list []string
}

// only says which packages of ours are all that a package may import.
var only = []limit{
	{"processor/generate", nil},
	{"processor/internal/oracle/...", []string{"processor/internal/oracle"}}, // the judge shares no code with the judged
	{"processor/source", nil},
	{"processor/kafka", []string{"processor/setting", "processor/lograte"}}, // it knows records, not their content
	{"processor/sink/...", []string{"processor/sink/...", "processor/setting", "processor/lograte", "processor/lockfile",
		"processor/internal/certs", "processor/source/aws/client", "processor/kafka", "schemas/body", "schemas/wire",
		"schemas/otellog", "schemas/otelmetric", "schemas/printable", "schemas/registry", "schemas/semconv"}},
	{"plugins/plugintest", nil}, // it drives the built plugins from outside
	{"plugins/*", []string{"plugins/internal/*", "schemas/decoding"}},
	{"deploy/deploytest", nil},
	{".", []string{"processor/cli"}},
}

// onlyTests says the same of tests.
var onlyTests = []limit{
	{"processor/internal/oracle/...", []string{"processor/internal/oracle"}},
	{"schemas/...", []string{"schemas/..."}},
	{"processor/...", []string{"processor/...", "schemas/..."}},
	{"deploy/...", []string{"processor/...", "schemas/..."}},
	{".", []string{"processor/cli"}},
}

// guarded says which packages are all that may import a package. Those without any are for
// tests.
var guarded = []limit{
	{"schemas/aws/...", []string{"schemas/aws/...", "schemas/cloud", "processor/source/aws/...", "processor/sigma",
		"processor/internal/quality", "plugins/internal/*"}},
	{"processor/source/aws/...", []string{"processor/source/aws/...", "processor/source/feed", "processor/config",
		"processor/cli/...", "plugins/internal/*", "processor/sink/awssink"}},
	{"processor/source/feed", []string{"processor/config", "processor/stream", "processor/cli", "plugins/internal/input"}}, {"processor/generate", []string{"processor/demo", "processor/cli", "processor/internal/*"}},
	{"processor/stream", []string{"processor/demo", "processor/cli"}}, {"processor/store", []string{"processor/web", "processor/stream", "processor/cli"}}, {"processor/web", []string{"processor/cli", "processor/config"}}, {"modernc.org/...", []string{"processor/store"}},
	{"processor/config", []string{"processor/cli"}}, {"processor/scan", []string{"processor/cli"}}, {"processor/api", []string{"processor/cli"}},
	{"processor/deadletter", []string{"processor/cli"}}, {"processor/tap", []string{"processor/cli"}},
	{"processor/cli/...", []string{"processor/cli/...", "."}},
	{"processor/internal/...", []string{"processor/internal/...", "processor/kafka/kafkatest", "processor/sink/sinktest",
		"processor/source/aws/awstest"}},
	{"schemas/corpus", nil}, {"schemas/internal/...", nil}, {"schemas/body/bodytest", nil}, {"plugins/plugintest", nil},
	{"processor/sink/sinktest", nil}, {"processor/source/aws/awstest", nil}, {"deploy/...", nil},
	{"processor/kafka/kafkatest", []string{"processor/internal/chaos", "processor/internal/chaossinks", "processor/internal/soak"}},
	{"github.com/twmb/...", []string{"processor/kafka/...", "processor/sink/kafka", "processor/stream",
		"processor/deadletter", "processor/tap", "processor/internal/chaos*", "processor/internal/soak", "plugins/internal/output"}},
}

// pure are the packages that are given everything, the time included: they import no
// package of impure and use no function of clock.
var pure = []string{"schemas/semconv", "schemas/kms", "schemas/decoding", "schemas/view", "schemas/otellog",
	"schemas/jsonschema", "schemas/wire", "schemas/body", "schemas/otelmetric", "schemas/registry", "schemas/cloud", "schemas/aws/*",
	"processor/eventtime", "processor/baseline", "processor/dedup", "processor/rule", "processor/sigma",
	"processor/count", "processor/entity", "processor/keyledger", "processor/usage", "processor/reconcile", "processor/anomaly", "processor/detector", "processor/window",
	"processor/correlate", "processor/incident", "processor/intake", "processor/state", "processor/plot", "processor/explain"}

var (
	impure = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "log", "log/slog",
		"github.com/twmb/...", "github.com/segmentio/..."}
	clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"} // of package time
)

// oracle imports the standard library only, in tests too.
const oracle = "processor/internal/oracle/..."

// knowAWS are the packages whose code may spell out the form of a name of AWS: those of that
// cloud, and those that make up or read its records.
var knowAWS = []string{"schemas/aws/...", "schemas/corpus", "schemas/internal/...", "schemas/registry/...",
	"processor/source/aws/...", "processor/sink/awssink", "processor/sink/sns", "processor/sink/sqs", "processor/sink/s3", "processor/rule", "processor/generate", "processor/internal/...", "plugins/...", "deploy/..."}

// spelledOut are the files elsewhere that do: examples in help and errors, and a query.
var spelledOut = []string{"processor/cli/usage.go", "processor/cli/lookup.go", "processor/config/validate.go"}

var awsForm = regexp.MustCompile(`arn:aws|amazonaws\.com|AWSReserved|AWS Internal`)

const module = "keytrail/"

// imports are the import paths of a package, ours without the module's, and where its code
// uses the clock and spells out names of AWS.
type imports struct {
	code, test []string
	clock      []string // such as "time.Now at count/call.go:12:3"
	aws        []string // such as "count/call.go spells out "arn:aws:kms""
}

func TestImports(t *testing.T) {
	tree := parseTree(t, ".")
	if len(tree) < 30 {
		t.Fatalf("found only %d packages: %v", len(tree), slices.Sorted(maps.Keys(tree)))
	}
	for _, problem := range checkImports(tree) {
		t.Error(problem)
	}
}

// TestImportsAreChecked adds one violation at a time to the real tree.
func TestImportsAreChecked(t *testing.T) {
	whole := parseTree(t, ".")
	f := func(pkg string, more imports, want string) {
		t.Helper()
		tree, p := maps.Clone(whole), whole[pkg]
		tree[pkg] = imports{slices.Concat(p.code, more.code), slices.Concat(p.test, more.test),
			slices.Concat(p.clock, more.clock), slices.Concat(p.aws, more.aws)}
		if problems := checkImports(tree); len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s with %+v gives %q, want one problem with %q", pkg, more, problems, want)
		}
	}
	for pkg, imported := range map[string]string{
		"schemas/otellog": "schemas/wire", "schemas/wire": "schemas/cloud", "schemas/aws/normalize": "processor/rule",
		"processor/entity": "schemas/aws/arn", "processor/detector": "processor/window", "processor/scan": "processor/stream",
		"processor/source": "processor/setting", "processor/kafka": "schemas/wire", "processor/stream": "processor/config",
		"processor/generate": "schemas/aws/cloudtrail", "processor/read": "schemas/aws/normalize", "plugins/in_kms": "processor/source", ".": "processor/scan",
		"processor/cli": "processor/internal/oracle", "processor/anomaly": "schemas/corpus",
		"processor/count": "log/slog", "schemas/aws/arn": "os", "processor/config": "github.com/twmb/franz-go/pkg/kgo",
	} {
		f(pkg, imports{code: []string{imported}}, pkg+" imports "+imported)
	}
	f("schemas/wire", imports{test: []string{"processor/window"}}, "a test of schemas/wire imports processor/window")
	f("processor/internal/oracle", imports{test: []string{"processor/count"}}, "a test of processor/internal/oracle imports")
	f("processor/internal/oracle", imports{code: []string{"golang.org/x/sync/errgroup"}}, "imports golang.org/x/sync/errgroup")
	f("processor/state", imports{clock: []string{"time.Now at x.go:1:1"}}, "processor/state uses time.Now at x.go:1:1")
	f("processor/count", imports{aws: []string{"processor/count/x.go spells out `arn:aws`"}}, "processor/count/x.go spells out")
	f("processor/surprise", imports{code: []string{"fmt"}}, "no layer has processor/surprise")
	delete(whole, "processor/baseline")
	if problems := checkImports(whole); !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, `"processor/baseline" matches no package`) }) {
		t.Errorf("a rule without packages is not noticed: %q", problems)
	}
}

// TestClockIsFound holds the search for the clock to the ways to write it.
func TestClockIsFound(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "x.go", "package x\n"+text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := clockUses(files, file); !slices.Equal(got, want) {
			t.Errorf("%s\nuses %q, want %q", text, got, want)
		}
	}
	f(`import "time"; var a = time.Now()`, "time.Now at x.go:2:24")
	f(`import "time"; var now = time.Now`, "time.Now at x.go:2:26")
	f(`import clock "time"; func f() { clock.Sleep(1) }`, "time.Sleep at x.go:2:33")
	f(`import . "time"; var a = Now()`, "a dot import of time at x.go:2:8")
	f(`import "time"; var a = time.Unix(0, 0)`)
	f(`import "x/time"; var a = time.Now()`)
}

// parseTree reads the imports of every package below root. It parses the files
// itself: go test sees what a test opens, and not what a subprocess such as
// "go list" opens, so that a cached result would hide a violation.
func parseTree(t *testing.T, root string) map[string]imports {
	t.Helper()
	tree := map[string]imports{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return enter(root, name, entry.Name())
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		p := tree[path.Dir(name)]
		list, test := &p.code, strings.HasSuffix(name, "_test.go")
		if test {
			list = &p.test
		}
		for _, spec := range file.Imports {
			*list = append(*list, strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module))
		}
		if !test {
			p.clock = append(p.clock, clockUses(files, file)...)
			if forms := awsForms(file); len(forms) > 0 {
				p.aws = append(p.aws, name+" spells out "+strings.Join(forms, ", "))
			}
		}
		tree[path.Dir(name)] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// awsForms returns the string literals of a file that hold the form of a name of AWS.
func awsForms(file *ast.File) (list []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && awsForm.MatchString(l.Value) {
			list = append(list, l.Value)
		}
		return true
	})
	return list
}

// enter tells WalkDir whether a folder belongs to this module.
func enter(root, name, base string) error {
	if name == root {
		return nil
	}
	if base == "testdata" || base == "build" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir // its own module
	}
	return nil
}

// clockUses returns where a file uses the clock.
func clockUses(files *token.FileSet, file *ast.File) (uses []string) {
	name := ""
	for _, spec := range file.Imports {
		if spec.Path.Value != `"time"` {
			continue
		}
		if name = "time"; spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			return []string{fmt.Sprintf("a dot import of time at %v", files.Position(spec.Pos()))}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clock, s.Sel.Name) {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				uses = append(uses, fmt.Sprintf("time.%s at %v", s.Sel.Name, files.Position(s.Pos())))
			}
		}
		return true
	})
	return uses
}

// checkImports returns the violations of the rules in a tree, and the rules that match no
// package.
func checkImports(tree map[string]imports) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	packages := slices.Sorted(maps.Keys(tree))
	for _, pkg := range packages {
		row, pattern := layerOf(pkg)
		if row < 0 {
			add("no layer has %s: add it to layers, below its imports", pkg)
			continue
		}
		for _, i := range unique(tree[pkg].code) {
			at, same := layerOf(i)
			_, ours := tree[i]
			switch {
			case ours && at >= row && same != pattern:
				add("%s imports %s, which is not below it", pkg, i)
			case ours && !allowed(only, pkg, i), !allowed(guarded, i, pkg):
				add("%s imports %s, which a limit forbids", pkg, i)
			case matchesAny(pure, pkg) && matchesAny(impure, i):
				add("%s imports %s, but is pure", pkg, i)
			case matches(oracle, pkg) && strings.Contains(strings.Split(i, "/")[0], "."):
				add("%s imports %s, and may import the standard library only", pkg, i)
			}
		}
		for _, i := range unique(tree[pkg].test) {
			if _, ours := tree[i]; ours && i != pkg && !allowed(onlyTests, pkg, i) ||
				matches(oracle, pkg) && strings.Contains(strings.Split(i, "/")[0], ".") {
				add("a test of %s imports %s, which a limit forbids", pkg, i)
			}
		}
		for _, form := range tree[pkg].aws {
			if file, _, _ := strings.Cut(form, " "); !matchesAny(knowAWS, pkg) && !slices.Contains(spelledOut, file) {
				add("%s; leave the forms of AWS's names to schemas/aws", form)
			}
		}
		if matchesAny(pure, pkg) {
			for _, use := range unique(tree[pkg].clock) {
				add("pure package %s uses %s; take the time as an argument", pkg, use)
			}
		}
	}
	patterns := slices.Concat(append(layers, pure, knowAWS)...)
	for _, l := range slices.Concat(only, onlyTests, guarded) {
		patterns = append(append(patterns, l.of), l.list...)
	}
	for _, file := range spelledOut {
		if !slices.ContainsFunc(tree[path.Dir(file)].aws, func(form string) bool { return strings.HasPrefix(form, file+" ") }) {
			add("%s spells out nothing of AWS; delete it from spelledOut", file)
		}
	}
	for _, p := range unique(patterns) {
		if !strings.Contains(p, ".com/") && !strings.Contains(p, ".org/") && !slices.ContainsFunc(packages, func(pkg string) bool { return matches(p, pkg) }) {
			add("%q matches no package", p)
		}
	}
	return problems
}

// layerOf returns the row of a package and the pattern that matches it there; -1 for none.
func layerOf(pkg string) (row int, pattern string) {
	row = -1
	for i, list := range layers {
		for _, p := range list {
			if p == pkg {
				return i, p
			}
			if row < 0 && matches(p, pkg) {
				row, pattern = i, p
			}
		}
	}
	return row, pattern
}

// allowed reports whether every limit of a package lists another one.
func allowed(limits []limit, pkg, other string) bool {
	for _, l := range limits {
		if matches(l.of, pkg) && !matchesAny(l.list, other) {
			return false
		}
	}
	return true
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// matches reports whether a pattern, as layers describes it, matches a package.
func matches(pattern, pkg string) bool {
	if below, all := strings.CutSuffix(pattern, "/..."); all {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	found, _ := path.Match(pattern, pkg) // false for a wrong pattern
	return found
}

// unique returns the different strings of list, sorted.
func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
