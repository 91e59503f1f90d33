package plugintest

import (
	"cmp"
	"flag"
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

	"go.yaml.in/yaml/v3"

	"keytrail/plugins/internal/input"
	"keytrail/plugins/internal/output"
	"keytrail/plugins/internal/property"
)

var update = flag.Bool("update", false, "write the generated parts of plugins/README.md anew")

// readers are how each plugin reads its properties.
var readers = map[string]func(*property.Reader) error{
	"in_kms":  func(r *property.Reader) error { _, err := input.ParseConfig(r); return err },
	"out_kms": func(r *property.Reader) error { _, err := output.ParseConfig(r); return err },
}

func specs(plugin string) []property.Spec {
	return property.Specs(func(r *property.Reader) { _ = readers[plugin](r) })
}

// TestReadme holds the tables and the configurations of README.md to the code.
func TestReadme(t *testing.T) {
	const path = "../README.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	text = replace(t, text, "examples", examples(t))
	for plugin, folder := range map[string]string{"in_kms": "../internal/input", "out_kms": "../internal/output"} {
		about := comments(t, folder, plugin)
		table := property.Table(specs(plugin), func(name string) string {
			if plugin == "in_kms" {
				return input.About(name)
			}
			if about[name] == "" {
				t.Errorf("nothing says what the property %s of %s is for: no comment of a field that it is assigned to", name, plugin)
			}
			return about[name]
		})
		text = replace(t, text, plugin, table)
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(b) {
		t.Error("plugins/README.md is not what the code says: go test ./plugins/plugintest -run TestReadme -update")
	}
}

// replace puts content between the marks of a name.
func replace(t *testing.T, text, name, content string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "<!-- "+name+" -->\n")
	_, after, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		t.Fatalf("README.md has no place for %s", name)
	}
	return before + "<!-- " + name + " -->\n" + content + "<!-- end -->" + after
}

func exampleFiles(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../examples/*")
	if err != nil || len(list) < 4 {
		t.Fatalf("examples: %q, %v", list, err)
	}
	return list
}

func examples(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range exampleFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		language := ""
		if strings.HasSuffix(path, ".yaml") {
			language = "yaml"
		}
		fmt.Fprintf(&b, "`%s`:\n\n```%s\n%s```\n\n", filepath.Base(path), language, text)
	}
	return b.String()
}

// comments returns what a plugin's code says of each property: the comment of the field
// that the property is assigned to, or that has its name.
func comments(t *testing.T, folder, plugin string) map[string]string {
	t.Helper()
	list := specs(plugin)
	parsed, fields := parse(t, folder)
	about := map[string]string{}
	byField := map[string]string{"MechanismNone": "none"}
	note := func(field string, value ast.Expr) {
		for _, name := range propertiesIn(value) {
			if fields[field] != "" {
				about[name], byField[field] = fields[field], name
			}
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
				_, literal := a.Rhs[0].(*ast.CompositeLit) // whose fields come one by one
				if s, ok := a.Lhs[0].(*ast.SelectorExpr); ok && !literal {
					note(s.Sel.Name, a.Rhs[0])
				}
			} else if kv, ok := n.(*ast.KeyValueExpr); ok {
				if field, ok := kv.Key.(*ast.Ident); ok {
					note(field.Name, kv.Value)
				}
			}
			return true
		})
	}
	for field, text := range fields { // and what is assigned in other ways has the field's name
		name := snake(field)
		property := slices.ContainsFunc(list, func(s property.Spec) bool { return s.Name == name })
		if property && about[name] == "" && text != "" {
			about[name], byField[field] = text, cmp.Or(byField[field], name)
		}
	}
	for name, text := range about { // the names of the code become those of the properties
		about[name] = word.ReplaceAllStringFunc(text, func(w string) string {
			if property := byField[w]; property != "" {
				return "`" + property + "`"
			}
			return w
		})
	}
	return about
}

// snake is the property's name for a field's: start_time for StartTime.
func snake(field string) string {
	return strings.ToLower(hump.ReplaceAllString(field, "${1}_${2}"))
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

var word = regexp.MustCompile(`\b[A-Z]\w+\b`)

// parse returns a plugin's code, and the comments of the fields in it and in the
// packages whose settings it has.
func parse(t *testing.T, folder string) (parsed []*ast.File, fields map[string]string) {
	t.Helper()
	files := token.NewFileSet()
	fields = map[string]string{}
	for _, dir := range []string{folder, "../../processor/kafka", "../../processor/source"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
			if err == nil && dir == folder {
				parsed = append(parsed, f)
			}
			if err == nil {
				fieldComments(f, fields)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return parsed, fields
}

// fieldComments notes the comment of each field of each type, the first that there is.
func fieldComments(f *ast.File, fields map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		list, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		before := ""
		for _, field := range list.Fields.List {
			text := strings.Join(strings.Fields(field.Doc.Text()), " ")
			if text == "" {
				text = strings.Join(strings.Fields(field.Comment.Text()), " ")
			}
			if text == "" {
				text = before // one comment for fields that stand together
			}
			before = text
			for _, name := range field.Names {
				if fields[name.Name] == "" {
					fields[name.Name] = text
				}
			}
		}
		return true
	})
}

// propertiesIn returns the names that an expression reads: the texts that are the first
// of a call's arguments, or the second behind the reader.
func propertiesIn(e ast.Expr) (names []string) {
	ast.Inspect(e, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for _, arg := range call.Args[:min(2, len(call.Args))] {
			if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if name, err := strconv.Unquote(lit.Value); err == nil {
					names = append(names, name)
				}
				break
			}
		}
		return true
	})
	return names
}

// TestExamples reads the examples' sections of our plugins with the plugins' own code.
func TestExamples(t *testing.T) {
	found := 0
	for _, path := range exampleFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sections := classic(string(text))
		if strings.HasSuffix(path, ".yaml") {
			sections = fromYAML(t, text)
		}
		for _, s := range sections {
			read, ours := readers[s["name"]]
			if !ours {
				continue
			}
			found++
			if err := read(property.NewReader(func(name string) string { return local(t, s[name]) })); err != nil {
				t.Errorf("%s: %s: %v", path, s["name"], err)
			}
			for name := range s {
				known := slices.ContainsFunc(specs(s["name"]), func(s property.Spec) bool { return s.Name == name })
				if !known && !property.Reserved(name) {
					t.Errorf("%s: %s has no property %q", path, s["name"], name)
				}
			}
		}
	}
	if found < 7 {
		t.Errorf("found %d sections of our plugins", found)
	}
}

// local replaces what an example names by what is there on every machine.
func local(t *testing.T, value string) string {
	switch {
	case strings.HasSuffix(value, "ca.pem"):
		return "" // the system's authorities
	case strings.HasPrefix(value, "/var/"):
		return filepath.Join(t.TempDir(), filepath.Base(value)[:0])
	case value == "${KAFKA_PASSWORD}":
		return "hunter2"
	}
	return value
}

type section = map[string]string

func fromYAML(t *testing.T, text []byte) (list []section) {
	t.Helper()
	var doc struct {
		Pipeline struct {
			Inputs, Outputs []map[string]any
		}
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(doc.Pipeline.Inputs, doc.Pipeline.Outputs) {
		s := section{}
		for k, v := range m {
			s[k] = fmt.Sprint(v)
		}
		list = append(list, s)
	}
	return list
}

// classic reads Fluent Bit's older format: sections in brackets, a key and a value a line.
func classic(text string) (list []section) {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			list = append(list, section{})
		} else if key, value, ok := strings.Cut(line, " "); ok && len(list) > 0 && !strings.HasPrefix(line, "#") {
			list[len(list)-1][key] = strings.TrimSpace(value)
		}
	}
	return list
}
