package all

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

const document = "../../../docs/sinks.md"

// TestKinds holds each type to what everything else takes from it: a unique name, a folder,
// defaults that are not shared, and settings with names.
func TestKinds(t *testing.T) {
	types := map[Type]bool{}
	for _, k := range Kinds {
		if k.Type == "" || types[k.Type] {
			t.Errorf("%q in folder %q is there twice, or has no name", k.Type, k.Folder)
		}
		types[k.Type] = true
		if k.InFlight < 1 || k.InFlight > sink.MaxInFlight || len(k.Protocols) == 0 || len(k.Bodies) == 0 {
			t.Errorf("%s: %d in flight, protocols %q, bodies %q", k.Type, k.InFlight, k.Protocols, k.Bodies)
		}
		a, b := k.Default(), k.Default()
		if reflect.TypeOf(a).Kind() != reflect.Pointer || a == b {
			t.Errorf("%s: the default is not a new pointer", k.Type)
		}
		if got := Default(k.Type); !reflect.DeepEqual(got, a) {
			t.Errorf("%s: default %+v, want %+v", k.Type, got, a)
		}
		if pkg := filepath.Base(reflect.TypeOf(a).Elem().PkgPath()); pkg != k.Folder {
			t.Errorf("%s: its settings are of package %s, want %s", k.Type, pkg, k.Folder)
		}
		if len(settings(a)) == 0 || slices.Contains(settings(a), "") {
			t.Errorf("%s: settings %q, want a yaml tag on each", k.Type, settings(a))
		}
	}
	if Default("surprise") != nil || len(Types()) != len(Kinds) {
		t.Error("a type that does not exist has a default, or Types lacks one")
	}
}

// TestIncomplete: settings that are empty name what they lack, and make no sink.
func TestIncomplete(t *testing.T) {
	for _, k := range Kinds {
		c := k.Default()
		_, problems := c.Validate().(setting.Problems)
		if to, err := c.Open(sink.Identity{Name: "x", Group: "x"}); !problems || err == nil || to != nil {
			t.Errorf("%s: settings without a destination give %v, %v and %v", k.Type, c.Validate(), to, err)
		}
	}
}

// TestFolders: each folder with a sink is registered, and its tests run both parts of the
// conformance suite, the part about faults for each type.
func TestFolders(t *testing.T) {
	var registered []string
	for _, k := range Kinds {
		registered = append(registered, k.Folder)
		if !contains(t, k.Folder, "_test.go", "sinktest.Run(") {
			t.Errorf("no test of %s calls sinktest.Run", k.Folder)
		}
		if !contains(t, k.Folder, "_test.go", fmt.Sprintf("sinktest.Conform(t, %q,", k.Type)) {
			t.Errorf("no test of %s calls sinktest.Conform(t, %q, ...)", k.Folder, k.Type)
		}
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(registered)
	registered = slices.Compact(registered) // a folder may hold several types
	found := 0
	for _, e := range entries {
		if !e.IsDir() || !contains(t, e.Name(), ".go", "sink.Identity) (sink.Sink, error)") {
			continue
		}
		if found++; !slices.Contains(registered, e.Name()) {
			t.Errorf("processor/sink/%s is a sink and has no line in Kinds", e.Name())
		}
	}
	if found != len(registered) {
		t.Errorf("%d folders hold sinks, want %d", found, len(registered))
	}
}

// TestDocument: the document has a section per type, which names each setting.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds {
		section := ""
		for _, part := range strings.Split(string(text), "\n## ") {
			heading, _, _ := strings.Cut(part, "\n")
			if strings.Contains(heading, "`type: "+string(k.Type)+"`") {
				section = part
			}
		}
		if section == "" {
			t.Errorf("docs/sinks.md has no section with the heading \"## `type: %s`\"", k.Type)
		}
		for _, name := range settings(k.Default()) {
			if !strings.Contains(section, "| `"+name+"` |") {
				t.Errorf("docs/sinks.md, type %s: no row for the setting %s", k.Type, name)
			}
		}
	}
}

// settings returns the names of a type's settings.
func settings(c sink.Config) (names []string) {
	return tags(reflect.TypeOf(c).Elem())
}

func tags(v reflect.Type) (names []string) {
	for i := range v.NumField() {
		tag := v.Field(i).Tag.Get("yaml")
		if tag == ",inline" {
			names = append(names, tags(v.Field(i).Type)...)
			continue
		}
		names = append(names, tag)
	}
	return names
}

// contains reports whether a file of a folder beside this one holds text.
func contains(t *testing.T, folder, ending, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*"+ending))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(name string) bool {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return (ending == "_test.go" || !strings.HasSuffix(name, "_test.go")) && strings.Contains(string(b), text)
	})
}
