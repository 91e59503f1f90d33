package hostconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/setting"
)

// names returns the names of properties, in order.
func names(list []Property) (all []string) {
	for _, p := range list {
		all = append(all, p.Name)
	}
	return all
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFormats(t *testing.T) {
	dir := t.TempDir()
	f := func(name, text string, want ...string) {
		t.Helper()
		path := write(t, dir, name, text)
		for _, args := range [][]string{{"fluent-bit", "-c", path}, {"fluent-bit", "--config=" + path}, {"fluent-bit", "-v", "--config", path, "-Y"}} {
			got := read(Output, "out_kms", args).found
			if !slices.Equal(names(got), want) {
				t.Errorf("%s, %q: got %v, want %q", name, args, got, want)
			}
			for _, p := range got {
				if p.Place != path {
					t.Errorf("%s: %q stands in %q", name, p.Name, p.Place)
				}
			}
		}
	}
	f("a.conf", "[SERVICE]\n  flush 1\n[INPUT]\n  name in_kms\n  host x\n[OUTPUT]\n  Name  OUT_KMS\n  Host\tkafka-1\n  # port 1\n\n  tls.ca_file ca.pem\n[OUTPUT]\n name http\n port 80\n",
		"name", "host", "tls.ca_file")
	f("after.conf", "[output]\nport 9092\nname out_kms\n", "port", "name") // the name may come last
	f("none.conf", "name out_kms\nhost x\n[FILTER]\nname out_kms\n")
	f("empty.conf", "")
	f("a.yaml", "pipeline:\n  inputs:\n    - name: in_kms\n      host: x\n  outputs:\n    - name: out_kms\n      port: 9092\n      tls.verify: off\n    - name: http\n      host: y\n",
		"name", "port", "tls.verify")
	f("broken.yaml", "pipeline: [\n")
	f("odd.yaml", "pipeline:\n  outputs:\n    out_kms: {host: x}\n")
	f("odder.yml", "- pipeline\n")
}

func TestIncludes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "more/a.conf", "[OUTPUT]\nname out_kms\nhost a\n")
	write(t, dir, "more/b.conf", "@INCLUDE ../main.conf\n[OUTPUT]\nname out_kms\nport 1\n") // a circle
	main := write(t, dir, "main.conf", "@include more/*.conf\n@SET a=b\n")
	if got := names(read(Output, "out_kms", []string{"f", "-c", main}).found); !slices.Equal(got, []string{"name", "host", "name", "port"}) {
		t.Errorf("got %q", got)
	}
	write(t, dir, "y/part.yaml", "pipeline:\n  outputs:\n    - name: out_kms\n      host: a\n")
	main = write(t, dir, "main.yaml", "includes:\n  - y/part.yaml\n  - missing.yaml\nservice:\n  flush: 1\n")
	if got := names(read(Output, "out_kms", []string{"f", "-c", main}).found); !slices.Equal(got, []string{"name", "host"}) {
		t.Errorf("got %q", got)
	}
}

func TestCommandLine(t *testing.T) {
	args := strings.Fields("fluent-bit -e out_kms.so -i in_kms -p path=/x -p host=in -o out_kms -p brokers=b:1 -p Host=out -o null -p port=1 -F grep -p tls=on")
	if got := names(read(Output, "out_kms", args).found); !slices.Equal(got, []string{"brokers", "host"}) {
		t.Errorf("output: got %q", got)
	}
	if got := names(read(Input, "in_kms", args).found); !slices.Equal(got, []string{"path", "host"}) {
		t.Errorf("input: got %q", got)
	}
	for _, short := range [][]string{nil, {"f"}, {"f", "-c"}, {"f", "-p"}, {"f", "--config"}} {
		if got := read(Output, "out_kms", short).found; len(got) > 0 {
			t.Errorf("%q: got %v", short, got)
		}
	}
}

// Files without end, or one without an end, are read to a bound.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	for i := range maxFiles + 50 {
		write(t, dir, fmt.Sprintf("%03d.conf", i), "[OUTPUT]\nname out_kms\n")
	}
	write(t, dir, "999.conf", "[OUTPUT]\nname out_kms\n"+strings.Repeat("#", maxBytes))
	main := write(t, dir, "main.cfg", "@include *.conf\n")
	if got := len(read(Output, "out_kms", []string{"f", "-c", main}).found); got != maxFiles-1 {
		t.Errorf("%d files were read", got)
	}
	if got := read(Output, "out_kms", []string{"f", "-c", filepath.Join(dir, "999.conf")}).found; got != nil {
		t.Errorf("a huge file gives %v", got)
	}
	if got := read(Output, "out_kms", []string{"f", "-c", os.DevNull}).found; got != nil {
		t.Errorf("a device gives %v", got)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("a.conf", "[OUTPUT]\nname out_kms\nhost x\n")
	f.Add("a.yaml", "pipeline: {outputs: [{name: out_kms, host: x}]}")
	f.Fuzz(func(t *testing.T, name, text string) {
		if strings.HasSuffix(name, ".yaml") {
			name = "a.yaml"
		} else {
			name = "a.conf"
		}
		path := write(t, t.TempDir(), name, text)
		for _, p := range read(Output, "out_kms", []string{"f", "-c", path}).found {
			if p.Name != strings.ToLower(p.Name) {
				t.Errorf("%q is not in lower case", p.Name)
			}
		}
	})
}

// A value that replaces a reference is shown as the reference, wherever Fluent Bit has it from.
func TestReferencesAreShown(t *testing.T) {
	t.Setenv("KT_TENANT", "tenant-4711")
	t.Setenv("KT_KEY", "k3y!")
	t.Setenv("KT_TOPIC", "kms") // no secret is so short
	path := write(t, t.TempDir(), "a.yaml", `pipeline:
  outputs:
    - name: out_kms
      sasl_password: ${ONLY_IN_ENV_SECTION}
      sasl_token_url: https://login/${KT_TENANT}/token?key=${KT_KEY}
      topic: ${KT_TOPIC}
`)
	now := map[string]string{"sasl_password": "pass", "sasl_token_url": "https://login/tenant-4711/token?key=k3y!", "topic": "kms"}
	var s setting.Scrubber
	hide(&s, func(name string) string { return now[name] }, read(Output, "out_kms", []string{"fluent-bit", "-c", path}))
	got := s.Clean("cannot log in with pass at https://login/tenant-4711/token?key=k3y!, for kms")
	if want := "cannot log in with ${ONLY_IN_ENV_SECTION} at https://login/${KT_TENANT}/token?key=${KT_KEY}, for kms"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A section's values are not taken for those of another: the references of one do not show
// in the log of the other, and what the environment holds is hidden in both.
func TestSectionsAreNotMixed(t *testing.T) {
	t.Setenv("KT_TOPIC_A", "kms.of-tenant-a")
	t.Setenv("KT_PASSWORD_A", "open-sesame-a")
	for name, text := range map[string]string{
		"a.yaml": `env:
  KT_KEY: key-of-the-section
pipeline:
  outputs:
    - {name: out_kms, topic: "${KT_TOPIC_A}", sasl_password: "${KT_PASSWORD_A}", sasl_username: "${KT_KEY}", brokers: "${KT_ELSEWHERE}"}
    - {name: out_kms, topic: kms.events, sasl_password: pass, sasl_username: keytrail, brokers: "kafka-1:9092"}
`,
		"list.yaml": `env: [{name: KT_KEY, value: key-of-the-section}]
pipeline:
  outputs:
    - {name: out_kms, topic: "${KT_TOPIC_A}", sasl_password: "${KT_PASSWORD_A}", sasl_username: "${KT_KEY}"}
`,
		"a.conf": `@SET KT_KEY=key-of-the-section
[OUTPUT]
  name out_kms
  topic ${KT_TOPIC_A}
  sasl_password ${KT_PASSWORD_A}
  sasl_username ${KT_KEY}
  brokers ${KT_ELSEWHERE}
[OUTPUT]
  name out_kms
  topic kms.events
`,
	} {
		path := write(t, t.TempDir(), name, text)
		now := map[string]string{"topic": "kms.events", "sasl_password": "pass", "sasl_username": "keytrail", "brokers": "kafka-1:9092"}
		var s setting.Scrubber
		hide(&s, func(name string) string { return now[name] }, read(Output, "out_kms", []string{"fluent-bit", "-c", path}))
		got := s.Clean("kms.events keytrail kafka-1:9092; kms.of-tenant-a open-sesame-a key-of-the-section")
		if want := "kms.events keytrail kafka-1:9092; ${KT_TOPIC_A} ${KT_PASSWORD_A} ${KT_KEY}"; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}
