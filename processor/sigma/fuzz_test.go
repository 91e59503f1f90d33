package sigma

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
)

// testRules returns the files of testdata/rules.
func testRules(t testing.TB) (list [][]byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "rules", "*.yml"))
	if err != nil || len(names) < 3 {
		t.Fatalf("testdata/rules has %d files, %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	return list
}

// FuzzLoad loads any text: it never panics, each problem has a line of the text and
// advice, and the loaded rules match events without an error.
func FuzzLoad(f *testing.F) {
	for _, text := range testRules(f) {
		f.Add(text)
	}
	f.Add([]byte(correlation("type: value_count\nrules: [refused]\ntimespan: 5m\ngroup-by: [a]\ncondition: {gte: 5, field: b}")))
	f.Add([]byte(rule("s:\n  '|all': ['a*', b]\n  a|re|i: x\nt: [k]\ncondition: not 1 of s* or all of them")))
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, problems := problemsOf(string(text))
		lines := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + strings.Count(string(text), "\u2028") + strings.Count(string(text), "\u2029") + strings.Count(string(text), "\u0085") + 1
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines || len(p.Text) < 10 || p.File != "x.yml" {
				t.Errorf("a problem of %d lines is %q", lines, p)
			}
		}
		m := rules.NewMatcher()
		for _, event := range []string{call, `{}`, `{"eventName":"Delete","errorCode":"AccessDenied","a":[1,"x"],"b":{"c":null}}`} {
			if _, err := m.Match([]byte(event)); err != nil {
				t.Errorf("%s gives %v", event, err)
			}
		}
	})
}

// FuzzMatch matches any rules with any event. It never panics, and a valid event matches
// as in the reference.
func FuzzMatch(f *testing.F) {
	for _, text := range testRules(f) {
		f.Add(text, []byte(call))
	}
	for i := range 300 {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		f.Add([]byte(randomRule(r)), []byte(randomEvent(r, 0)))
	}
	for record := range corpus.Records(5) {
		f.Add([]byte(rule("s:\n  requestParameters|contains: x\n  userIdentity.arn|re: a\nk: [b]\ncondition: s or k")), record)
	}
	f.Fuzz(func(t *testing.T, text, event []byte) {
		rules, _ := problemsOf(string(text))
		m := rules.NewMatcher()
		result, err := m.Match(event)
		if len(rules.List) == 0 || !decodes(event) {
			return
		}
		if err != nil {
			t.Fatalf("%q gives %v", event, err)
		}
		agree(t, rules, string(text), event, result)
	})
}

// decodes reports whether the decoder accepts the event: it is JSON without duplicates.
func decodes(event []byte) bool {
	wrapped := append([]byte(`{"eventVersion":"1","x":`), append(event, '}')...)
	var ev cloudtrail.Event
	return cloudtrail.NewDecoder(decoding.Limits{}).Decode(wrapped, &ev) == nil && len(event) > 0 && strings.HasPrefix(strings.TrimLeft(string(event), " \t\r\n"), "{")
}

// agree compares a result with the reference.
func agree(t *testing.T, rules *Rules, text string, event []byte, result Result) {
	t.Helper()
	v, err := decodeJSON(event)
	if err != nil {
		t.Fatalf("%q does not decode: %v", event, err)
	}
	hit := map[int]bool{}
	for _, r := range result.Hits {
		hit[r.Line] = true
	}
	loaded := map[int]bool{}
	for _, r := range rules.List {
		loaded[r.Line] = true
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	for {
		var node yaml.Node
		if d.Decode(&node) != nil {
			break
		}
		if len(node.Content) == 1 && loaded[node.Content[0].Line] {
			if want := refRule(node.Content[0], v); hit[node.Content[0].Line] != want {
				t.Errorf("%s\nwith %s gives %v, and by the reference %v", text, event, !want, want)
			}
		}
	}
}

// TestRandomRules matches random rules with random events, over so few names and values
// that they often meet, and compares the result with the reference.
func TestRandomRules(t *testing.T) {
	matched, total := 0, 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := randomRule(r)
		rules := loadText(t, text)
		m := rules.NewMatcher()
		for range 4 {
			event := []byte(randomEvent(r, 0))
			result, err := m.Match(event)
			if err != nil {
				t.Fatalf("%s: %v", event, err)
			}
			agree(t, rules, text, event, result)
			total++
			matched += len(result.Hits)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if matched < total/5 || matched > total*4/5 {
		t.Errorf("%d of %d events match: the generator does not ask much", matched, total)
	}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func randomPath(r *rand.Rand) string {
	path := pick(r, "eventName", "eventSource", "a", "b", "a", "b")
	for path == "a" || path == "b" || strings.HasSuffix(path, "c") {
		if r.IntN(3) == 0 {
			break
		}
		path += "." + pick(r, "a", "b", "c")
	}
	return path
}

// randomValue is a value of a rule, quoted for YAML if necessary.
func randomValue(r *rand.Rand) string {
	return pick(r, "x", "Y", "xy", "'x*'", "'*Y'", "'?'", "'x?y'", "1", "2", "1.0", "true", "false", "''", `'\*'`, `'\\*'`, "'*'", `'"a":"x"'`, "ä", "'Ä?'", "'*x*y*'", "'1'")
}

func randomItem(r *rand.Rand) string {
	path := randomPath(r)
	switch r.IntN(12) {
	case 0:
		return path + ": null"
	case 1:
		return path + "|exists: " + pick(r, "true", "false")
	case 2:
		return path + "|" + pick(r, "gt", "gte", "lt", "lte") + ": " + pick(r, "1", "2", "1.5", "-1")
	case 3:
		return path + "|re" + pick(r, "", "|i", "|s", "|m", "|neq") + ": " + pick(r, "'^x'", "'[xy]+$'", "'x.y'", "'X|1'")
	case 4:
		return path + "|fieldref" + pick(r, "", "|contains", "|startswith", "|endswith", "|neq", "|cased") + ": " + randomPath(r)
	case 5:
		return path + "|cidr: " + pick(r, "10.0.0.0/8", "['::/0', 192.0.2.1]")
	}
	mods := pick(r, "", "", "", "|contains", "|startswith", "|endswith", "|contains|all", "|cased", "|contains|cased", "|neq", "|contains|neq", "|all")
	if r.IntN(2) == 0 {
		return path + mods + ": " + randomValue(r)
	}
	return path + mods + ": [" + randomValue(r) + ", " + randomValue(r) + ", " + randomValue(r) + "]"
}

func randomRule(r *rand.Rand) string {
	b := ""
	for _, name := range []string{"s1", "s2", "f"} {
		switch r.IntN(6) {
		case 0:
			b += name + pick(r, ": [x, '*y?']\n", ":\n  '|all': [x, 1]\n", ": [xy, tru]\n", ":\n  '|re': ['^x', 'y$']\n")
		case 1:
			b += name + ":\n  - " + randomItem(r) + "\n  - " + randomItem(r) + "\n"
		default:
			b += name + ":\n  " + randomItem(r) + "\n"
			if other := randomItem(r); r.IntN(2) == 0 && !strings.Contains(b, "\n  "+other[:strings.Index(other, ":")+1]) {
				b += "  " + other + "\n"
			}
		}
	}
	return rule(b + "condition: " + pick(r, "s1 and s2 or not f", "1 of s* and not f", "all of them", "s1 and (s2 or f)", "not (s1 and not s2) or f", "1 of them", "all of s* or f",
		"s1 or s2 and f", "[s1 and s2, f]"))
}

func randomEvent(r *rand.Rand, depth int) string {
	scalar := func() string {
		return pick(r, `"x"`, `"Y"`, `"xy"`, `"X*Y"`, `"\\*"`, "1", "2", "1.0", "-1", "1e0", "true", "false", "null", `""`, `"ä"`, `"Äx"`, `"10.1.2.3"`, `"192.0.2.1"`, `"2001:db8::1"`, `"1"`, `"x\ny"`, `"\u0058"`, `"{\"a\":\"x\"}"`)
	}
	var value func(depth int) string
	object := func(depth int, names ...string) string {
		var parts []string
		for _, name := range names {
			if r.IntN(3) > 0 {
				parts = append(parts, fmt.Sprintf("%q:%s%s", name, pick(r, "", " ", "\n"), value(depth)))
			}
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "{" + strings.Join(parts, pick(r, ",", " , ")) + "}"
	}
	value = func(depth int) string {
		switch n := r.IntN(6); {
		case depth > 3 || n > 2:
			return scalar()
		case n == 0:
			return "[" + strings.Join([]string{value(depth + 1), value(depth + 1)}[:r.IntN(3)], ", ") + "]"
		}
		return object(depth+1, "a", "b", "c")
	}
	return object(depth, "eventName", "eventSource", "a", "b", "z")
}
