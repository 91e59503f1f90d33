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
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layer says what the packages that its pattern matches may import of ours in
// the code that ships. Patterns are paths below the module's: "a/b" is that
// package, "a/*" are those directly below, "a/..." is a and all below. A package
// belongs to the first layer that matches it.
type layer struct {
	packages string
	may      []string
}

// layers is the order of DESIGN.md, "Layout": schemas below processor below
// plugins, and inside each what the parts may know of each other. A package that
// no line matches fails the test, and so does a line that matches nothing.
var layers = []layer{
	{"schemas/semconv", nil},
	{"schemas/printable", nil},
	{"schemas/kms", nil},
	{"schemas/view", nil},
	{"schemas/decoding", nil},
	{"schemas/otellog", []string{"schemas/printable", "schemas/view"}},
	{"schemas/body/bodytest", []string{"schemas/otellog"}},
	{"schemas/body", []string{"schemas/kms", "schemas/otellog", "schemas/semconv", "schemas/view"}},
	{"schemas/aws/cloudtrail", []string{"schemas/decoding", "schemas/view"}},
	{"schemas/jsonschema", nil},
	{"schemas/aws/keypolicy", nil},
	{"schemas/aws/arn", []string{"schemas/wire"}},
	{"schemas/aws/normalize", []string{"schemas/aws/arn", "schemas/aws/cloudtrail", "schemas/aws/keypolicy", "schemas/decoding", "schemas/kms", "schemas/otellog", "schemas/semconv", "schemas/view"}},
	{"schemas/wire", []string{"schemas/decoding", "schemas/kms", "schemas/otellog", "schemas/printable", "schemas/semconv"}},
	{"schemas/registry", []string{"schemas/otellog"}},
	{"schemas/registry/gen", []string{"schemas/registry"}},
	{"schemas/aws/notification", nil},
	{"schemas/corpus", nil},
	{"schemas/internal/schematest", nil},

	{"processor/eventtime", nil},
	{"processor/baseline", nil},
	{"processor/dedup", []string{"schemas/wire"}},
	{"processor/rule", []string{"schemas/*", "schemas/aws/arn"}},
	{"processor/sigma", []string{"schemas/aws/cloudtrail", "schemas/decoding", "schemas/view"}},
	{"processor/count", []string{"processor/eventtime", "processor/rule", "processor/sigma", "schemas/*", "schemas/aws/arn"}},
	{"processor/entity", []string{"processor/baseline", "processor/count", "schemas/wire"}}, // no form of a name
	{"processor/anomaly", []string{"processor/count", "processor/entity", "processor/eventtime", "processor/rule",
		"processor/sigma", "schemas/*", "schemas/aws/arn"}},
	{"processor/detector", []string{"processor/anomaly", "processor/baseline", "processor/count", "processor/entity",
		"processor/eventtime", "processor/setting", "schemas/kms", "schemas/wire"}},
	{"processor/window", []string{"processor/anomaly", "processor/count", "processor/detector", "processor/entity",
		"processor/eventtime", "schemas/kms", "schemas/wire"}},
	{"processor/correlate", []string{"processor/anomaly", "processor/count", "processor/eventtime", "processor/sigma", "schemas/*"}},
	{"processor/state", []string{"processor/count", "processor/dedup", "processor/eventtime", "processor/rule", "processor/sigma", "processor/window", "schemas/*"}},

	{"processor/intake", []string{"processor/anomaly", "processor/count", "processor/dedup", "processor/eventtime", "processor/sigma", "schemas/*"}},

	{"processor/plot", nil},
	{"processor/linefile", nil},
	{"processor/explain", []string{"schemas/*"}},

	{"processor/source", nil},
	{"processor/read", []string{"processor/source", "schemas/*", "schemas/aws/cloudtrail", "schemas/aws/normalize"}},
	{"processor/source/aws/client", nil},
	{"processor/source/aws/awstest", nil},
	{"processor/source/aws/*", []string{"processor/source", "processor/source/aws/*", "schemas/*", "schemas/aws/*"}},
	{"processor/kafka", []string{"processor/setting", "processor/lograte"}}, // it knows Kafka records, and nothing of what is in them
	{"processor/kafka/kafkatest", []string{"processor/kafka"}},
	{"processor/generate", nil},
	{"processor/internal/oracle", nil}, // the judge shares no code with the judged
	{"processor/internal/oracle/cmd", []string{"processor/internal/oracle"}},
	{"processor/internal/opensearch", nil},
	{"processor/setting", nil},
	{"processor/telemetry", []string{"processor/setting"}},
	{"processor/lograte", nil},
	{"processor/sink", []string{"processor/setting", "processor/lograte"}},
	{"processor/sink/httpsink", []string{"processor/sink"}},
	{"processor/sink/sinktest", []string{"processor/sink"}},
	{"processor/sink/all", []string{"processor/sink", "processor/sink/*"}},
	{"processor/sink/*", []string{"processor/setting", "processor/sink", "processor/sink/httpsink", "schemas/body", "schemas/otellog"}},
	{"processor/config", []string{"processor/setting", "processor/detector", "processor/window", "processor/kafka", "processor/sink", "processor/sink/all", "processor/telemetry", "schemas/*"}},

	{"processor/scan", []string{"processor/anomaly", "processor/correlate", "processor/count", "processor/entity", "processor/eventtime", "processor/intake", "processor/read",
		"processor/rule", "processor/sigma", "processor/source", "processor/window", "schemas/*", "schemas/aws/arn"}},
	{"processor/stream", []string{"processor/anomaly", "processor/setting", "processor/correlate", "processor/count", "processor/dedup", "processor/entity", "processor/eventtime", "processor/intake", "processor/kafka", "processor/lograte", "processor/read", "processor/rule",
		"processor/sigma", "processor/sink", "processor/source", "processor/state", "processor/telemetry", "processor/window", "schemas/*", "schemas/aws/arn"}},
	{"processor/internal/quality", []string{"processor/anomaly", "processor/count", "processor/eventtime", "processor/generate", "processor/intake", "processor/sigma", "processor/window", "schemas/*", "schemas/aws/arn", "schemas/aws/cloudtrail", "schemas/aws/normalize"}},
	{"processor/internal/chaos", []string{"processor/generate", "processor/internal/oracle", "processor/kafka", "processor/kafka/kafkatest", "schemas/*"}},
	{"processor/screen", []string{"processor/setting", "schemas/printable"}},
	{"processor/report", []string{"processor/anomaly", "processor/count", "processor/entity", "processor/explain", "processor/plot", "processor/screen", "processor/setting", "processor/sigma", "schemas/*", "schemas/aws/cloudtrail", "schemas/aws/normalize"}},
	{"processor/demo", []string{"processor/generate", "processor/report", "processor/screen", "processor/stream", "schemas/*"}},
	{"processor/cli/flags", []string{"processor/setting"}},
	{"processor/cli/help", []string{"processor/cli/flags", "processor/screen"}},
	{"processor/cli/input", []string{"processor/cli/flags", "processor/linefile", "processor/read", "processor/report", "processor/screen", "processor/sigma", "processor/source", "processor/source/aws/*", "schemas/*"}},
	{"processor/cli", []string{"processor/...", "schemas/*"}},

	{"plugins/internal/lockfile", nil},
	{"plugins/internal/ack", []string{"plugins/internal/lockfile"}},
	{"plugins/internal/chunk", []string{"plugins/internal/ack"}},
	{"plugins/internal/logging", []string{"processor/setting", "schemas/printable"}},
	{"plugins/internal/property", []string{"processor/setting"}},
	{"plugins/internal/hostconfig", []string{"plugins/internal/property", "processor/setting"}},
	{"plugins/internal/flb", []string{"plugins/internal/logging", "plugins/internal/property"}},
	{"plugins/internal/*", []string{"plugins/internal/*", "processor/*", "processor/setting", "processor/source/aws/*", "schemas/*", "schemas/aws/*"}},
	{"plugins/plugintest", nil},                                       // it drives the built plugins from outside
	{"plugins/*", []string{"plugins/internal/*", "schemas/decoding"}}, // for the reasons that its counters name

	{"deploy/deploytest", nil},
	{".", []string{"processor/cli"}},
}

// testLayers says what tests may import of ours: what lies at the same height or
// below, helpers for tests included.
var testLayers = []layer{
	{"processor/internal/oracle/...", []string{"processor/internal/oracle"}},
	{"schemas/...", []string{"schemas/..."}},
	{"processor/...", []string{"processor/...", "schemas/..."}},
	{"plugins/...", []string{"plugins/...", "processor/...", "schemas/..."}},
	{"deploy/...", []string{"processor/...", "schemas/..."}},
	{".", []string{"processor/cli"}},
}

// tests are programs that test, and ship with nothing.
var tests = []string{"processor/internal/oracle/cmd", "processor/internal/chaos", "processor/internal/quality"}

// forTests are the packages that no code that ships may import, cli's included.
var forTests = []string{"processor/internal/chaos", "processor/internal/quality", "processor/internal/opensearch", "schemas/internal/schematest", "schemas/corpus", "schemas/body/bodytest", "processor/kafka/kafkatest", "processor/sink/sinktest", "processor/source/aws/awstest", "processor/internal/oracle", "deploy/deploytest", "plugins/plugintest"}

// pure are the packages that are given everything, the time included: they import
// nothing of impure and use nothing of clock.
var pure = []string{"schemas/semconv", "schemas/kms", "schemas/decoding", "schemas/view", "schemas/otellog", "schemas/aws/cloudtrail", "schemas/aws/notification", "schemas/jsonschema", "schemas/aws/normalize", "schemas/wire", "schemas/registry", "schemas/body",
	"processor/eventtime", "processor/baseline", "processor/dedup", "processor/rule", "processor/sigma", "processor/count", "processor/entity", "processor/anomaly",
	"processor/detector", "processor/window", "processor/correlate", "processor/intake", "processor/state", "schemas/aws/arn",
	"processor/plot", "processor/explain"}

var (
	impure = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "log", "log/slog", "github.com/twmb/...", "github.com/segmentio/..."}
	clock  = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"} // of package time
)

// knowAWS are the packages whose code may spell out what a name of AWS looks like: those
// of that cloud, what makes up or reads its records, and the examples in messages.
var knowAWS = []string{"schemas/aws/...", "schemas/corpus", "schemas/internal/...", "schemas/registry/...",
	"processor/source/aws/...", "processor/rule", "processor/generate", "processor/internal/...", "plugins/...", "deploy/..."}

// spelledOut are the files elsewhere that do, and why.
var spelledOut = map[string]string{
	"processor/cli/usage.go":       "an example shows a key's ARN",
	"processor/cli/lookup.go":      "the command asks CloudTrail for an event source",
	"processor/config/validate.go": "an error shows an example",
}

// clients are the only packages that may import a Kafka client.
var clients = []string{"processor/kafka", "processor/kafka/kafkatest", "processor/stream", "processor/internal/chaos", "plugins/internal/output"}

// standardOnly are the packages that import the standard library and themselves,
// in tests too.
var standardOnly = []string{"processor/internal/oracle", "processor/internal/oracle/cmd"}

const module = "keytrail/"

// imports are the import paths of a package, ours without the module's, and where
// it uses the clock.
type imports struct {
	code, test []string
	clock      []string // such as "time.Now at count/call.go:12:3", not in tests
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
		tree[pkg] = imports{slices.Concat(p.code, more.code), slices.Concat(p.test, more.test), slices.Concat(p.clock, more.clock)}
		if problems := checkImports(tree); len(problems) != 1 || !strings.Contains(problems[0], want) {
			t.Errorf("%s with %+v gives %q, want one problem with %q", pkg, more, problems, want)
		}
	}
	code := func(list ...string) imports { return imports{code: list} }
	// the directions
	f("schemas/wire", code("schemas/aws/cloudtrail"), "schemas/wire imports schemas/aws/cloudtrail")
	f("processor/entity", code("schemas/aws/arn"), "processor/entity imports schemas/aws/arn")
	f("processor/detector", code("processor/window"), "processor/detector imports processor/window")
	f("schemas/otellog", code("schemas/semconv"), "schemas/otellog imports schemas/semconv")
	f("schemas/aws/normalize", code("processor/rule"), "schemas/aws/normalize imports processor/rule")
	f("processor/source", code("plugins/internal/chunk"), "processor/source imports plugins/internal/chunk")
	f("processor/kafka", code("schemas/wire"), "processor/kafka imports schemas/wire")
	f("processor/scan", code("processor/stream"), "processor/scan imports processor/stream")
	f("processor/stream", code("processor/config"), "processor/stream imports processor/config")
	f("processor/generate", code("schemas/aws/cloudtrail"), "processor/generate imports schemas/aws/cloudtrail")
	f("plugins/in_kms", code("processor/source"), "plugins/in_kms imports processor/source")
	f(".", code("processor/scan"), "main.go's package imports processor/scan")
	f("processor/cli", code("processor/internal/oracle"), "which is for tests only")
	f("processor/cli", code("plugins/internal/chunk"), "processor/cli imports plugins/internal/chunk")
	// tests
	f("schemas/wire", imports{test: []string{"processor/window"}}, "test of schemas/wire imports processor/window")
	f("processor/internal/oracle", imports{test: []string{"processor/count"}}, "test of processor/internal/oracle imports processor/count")
	// purity
	f("processor/count", code("log/slog"), "pure package processor/count imports log/slog")
	f("schemas/otellog", code("os"), "pure package schemas/otellog imports os")
	f("processor/state", imports{clock: []string{"time.Now at x.go:1:1"}}, "pure package processor/state uses time.Now at x.go:1:1")
	f("processor/scan", code("github.com/twmb/franz-go/pkg/kgo"), "processor/scan imports a Kafka client")
	f("processor/internal/oracle", code("golang.org/x/sync/errgroup"), "imports golang.org/x/sync/errgroup")
	// what the lists do not know
	f("processor/surprise", code("fmt"), "no layer has processor/surprise")
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

// TestAWSIsKnownInItsPlace holds the forms of AWS's names to the packages that may know
// them. The layers hold the imports of schemas/aws.
func TestAWSIsKnownInItsPlace(t *testing.T) {
	found := map[string]bool{}
	for pkg := range parseTree(t, ".") {
		if slices.ContainsFunc(knowAWS, func(m string) bool { return matches(m, pkg) }) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(pkg), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range awsForms(t, name, text) {
				if name = filepath.ToSlash(name); spelledOut[name] == "" {
					t.Errorf("%s spells out %s; leave the forms of AWS's names to schemas/aws", name, form)
				}
				found[name] = true
			}
		}
	}
	for name := range spelledOut {
		if !found[name] {
			t.Errorf("%s spells out nothing of AWS; delete it from spelledOut", name)
		}
	}
	if got := awsForms(t, "x.go", []byte("package x\n// arn:aws:kms is in a comment\nvar a = `arn:aws:kms`\n")); len(got) != 1 {
		t.Errorf("found %q, want the one literal", got)
	}
}

// awsForms returns the string literals of a file that hold the form of a name of AWS.
func awsForms(t *testing.T, name string, text []byte) (list []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && !strings.HasPrefix(l.Value, `"keytrail/`) {
			for _, form := range []string{"arn:aws", "amazonaws.com", "AWSReserved", "AWS Internal"} {
				if strings.Contains(l.Value, form) {
					list = append(list, l.Value)
					break
				}
			}
		}
		return true
	})
	return list
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
		pkg := path.Dir(filepath.ToSlash(name))
		p := tree[pkg]
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imported = strings.TrimPrefix(imported, module)
			if strings.HasSuffix(name, "_test.go") {
				p.test = append(p.test, imported)
			} else {
				p.code = append(p.code, imported)
			}
		}
		if !strings.HasSuffix(name, "_test.go") {
			p.clock = append(p.clock, clockUses(files, file)...)
		}
		tree[pkg] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
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
	if name == "" {
		return nil
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

// checkImports returns what in a tree violates the rules, or which rules are
// about nothing, in the order of the packages.
func checkImports(tree map[string]imports) (problems []string) {
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	used := map[string]bool{}
	packages := slices.Sorted(maps.Keys(tree))
	for _, pkg := range packages {
		p, name := tree[pkg], pkg
		if pkg == "." {
			name = "main.go's package"
		}
		if l, found := layerOf(layers, pkg); found {
			used[l.packages] = true
			for _, i := range unique(p.code) {
				if _, ours := tree[i]; ours && !slices.ContainsFunc(l.may, func(m string) bool { return matches(m, i) }) {
					add("%s imports %s; its layer allows %q", name, i, l.may)
				} else if ours && slices.Contains(forTests, i) && !slices.Contains(tests, pkg) {
					add("%s imports %s, which is for tests only", name, i)
				}
			}
		} else {
			add("no layer has %s: add it to layers, below what it imports", name)
		}
		l, _ := layerOf(testLayers, pkg)
		for _, i := range unique(p.test) {
			if _, ours := tree[i]; ours && i != pkg && !slices.ContainsFunc(l.may, func(m string) bool { return matches(m, i) }) {
				add("a test of %s imports %s; tests there may import %q", name, i, l.may)
			}
		}
		problems = append(problems, checkForeign(tree, pkg, name)...)
	}
	return append(problems, emptyRules(packages, used)...)
}

// checkForeign checks a package's imports of what is not ours, and its clock.
func checkForeign(tree map[string]imports, pkg, name string) (problems []string) {
	p := tree[pkg]
	for _, i := range unique(p.code) {
		if slices.Contains(pure, pkg) && slices.ContainsFunc(impure, func(m string) bool { return matches(m, i) }) {
			problems = append(problems, fmt.Sprintf("pure package %s imports %s", name, i))
		} else if matches("github.com/twmb/...", i) && !slices.Contains(clients, pkg) {
			problems = append(problems, fmt.Sprintf("%s imports a Kafka client, %s; only %q may", name, i, clients))
		}
	}
	if slices.Contains(pure, pkg) {
		for _, use := range unique(p.clock) {
			problems = append(problems, fmt.Sprintf("pure package %s uses %s; take the time as an argument", name, use))
		}
	}
	if slices.Contains(standardOnly, pkg) {
		for _, i := range unique(slices.Concat(p.code, p.test)) {
			if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				problems = append(problems, fmt.Sprintf("%s imports %s; it may import the standard library only", name, i))
			}
		}
	}
	return problems
}

// emptyRules returns the rules that no package is left for.
func emptyRules(packages []string, used map[string]bool) (problems []string) {
	for _, l := range layers {
		if !used[l.packages] {
			problems = append(problems, fmt.Sprintf("layer %q matches no package, or those before it take all", l.packages))
		}
	}
	patterns := slices.Concat(forTests, pure, clients, standardOnly)
	for _, l := range slices.Concat(layers, testLayers) {
		patterns = append(append(patterns, l.packages), l.may...)
	}
	for _, pattern := range unique(patterns) {
		if !slices.ContainsFunc(packages, func(pkg string) bool { return matches(pattern, pkg) }) {
			problems = append(problems, fmt.Sprintf("%q matches no package", pattern))
		}
	}
	return problems
}

// layerOf returns the first layer that matches pkg.
func layerOf(list []layer, pkg string) (layer, bool) {
	i := slices.IndexFunc(list, func(l layer) bool { return matches(l.packages, pkg) })
	if i < 0 {
		return layer{}, false
	}
	return list[i], true
}

// matches reports whether a pattern, as layer describes it, matches a package.
func matches(pattern, pkg string) bool {
	if below, all := strings.CutSuffix(pattern, "/..."); all {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	if above, ok := strings.CutSuffix(pattern, "/*"); ok {
		return path.Dir(pkg) == above
	}
	return pattern == pkg
}

// unique returns the different strings of list, sorted.
func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
