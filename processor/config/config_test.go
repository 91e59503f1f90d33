package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/window"
)

var update = flag.Bool("update", false, "write the golden files anew")

// environment is what the test data may refer to.
var environment = map[string]string{
	"READER":     "arn:aws:sts::111122223333:assumed-role/reader/session",
	"SIEM_HOST":  "siem.example",
	"SIEM_TOKEN": "hunter2",
	"SCOPE":      "hunter2: [",
	"EMPTY":      "",
	"IDLE":       "hunter2",
	"KAFKA_PASS": "hunter2 $${: #",
	"BINARY":     "\xff\xfe",
	"HOOK_URL":   "https://hooks.slack.com/services/T0/B0/hunter2hunter2?sig=hunter2",
	"HOOK_KEY":   "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=",
	"PAGER_KEY":  "hunter2hunter2hunter2hunter2hunt",
}

func lookup(name string) (string, bool) {
	text, ok := environment[name]
	return text, ok
}

// golden compares got with the file beside the input, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

// inputs runs f for each YAML file in a folder of testdata.
func inputs(t *testing.T, folder string, f func(t *testing.T, path string, data []byte)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s (%v)", folder, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f(t, path, data)
		})
	}
}

func printed(t *testing.T, c *Config) string {
	t.Helper()
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGood(t *testing.T) {
	inputs(t, "good", func(t *testing.T, path string, data []byte) {
		c, err := parse(filepath.Base(path), data, lookup)
		if err != nil {
			t.Fatal(err)
		}
		out := printed(t, c)
		if strings.Contains(out, "hunter2") {
			t.Errorf("a secret is printed:\n%s", out)
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".printed", out)
		roundTrip(t, c, out)
	})
}

// roundTrip checks that out, the printed form of c, parses to c, except redacted secrets,
// and prints the same again.
func roundTrip(t *testing.T, c *Config, out string) {
	t.Helper()
	back, err := parse("printed", []byte(out), lookup)
	if err != nil {
		t.Fatalf("cannot read back:\n%s\n%v", out, err)
	}
	if again := printed(t, back); again != out {
		t.Errorf("printed:\n%s\nprinted after reading it back:\n%s", out, again)
	}
	for i := range c.Sinks {
		to, ok := c.Sinks[i].To.(*otlphttp.Config)
		if !ok {
			continue
		}
		for name, secret := range to.Headers {
			got := back.Sinks[i].To.(*otlphttp.Config).Headers[name]
			if secret.String() == setting.Redacted || secret.Sourced() {
				to.Headers[name] = got
			} else if got.Reveal() != secret.Reveal() {
				t.Errorf("header %q changed from %d to %d bytes", name, len(secret.Reveal()), len(got.Reveal()))
			}
		}
	}
	back.written, back.literals, back.hidden = c.written, c.literals, c.hidden // where the secret comes from
	back.file, back.lines = c.file, c.lines
	if !reflect.DeepEqual(back, c) {
		t.Errorf("read back:\n%+v\nwant:\n%+v", back, c)
	}
}

func TestBad(t *testing.T) {
	inputs(t, "bad", func(t *testing.T, path string, data []byte) {
		_, err := parse(filepath.Base(path), data, lookup)
		if err == nil {
			t.Fatal("no error")
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("the error shows a secret:\n%v", err)
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".errors", err.Error()+"\n")
	})
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for _, kind := range all.Types() {
		if s, ok := NewSink(kind); !ok || s.Type != kind {
			t.Errorf("NewSink(%q) = %+v, %v", kind, s, ok)
		}
	}
	if got, want := Default().Detection(), window.DefaultConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("the detectors' defaults became %+v, want %+v", got, want)
	}
	if got, want := Default().Decode.Limits(), Default().Decode.Limits().WithDefaults(); got != want {
		t.Errorf("the limits %+v leave something to default: %+v", got, want)
	}
}

func TestFullSetsEverything(t *testing.T) {
	data, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parse("full.yaml", data, lookup)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Sinks[0]
	to := s.To.(*otlphttp.Config)
	f := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	f("endpoint", to.Endpoint, "https://siem.example:4318/otlp")
	f("authorization", to.Headers["Authorization"].Reveal(), "Bearer hunter2")
	f("mixed header", to.Headers["X-Mixed"].Reveal(), "hunter2-hunter2")
	f("header that looks like YAML", to.Headers["X-Scope"].Reveal(), "hunter2: [")
	f("path", c.Sinks[1].To.Output(), "archive/${NAME}-x.ndjson")
	f("take", s.Take, Take{Windows: WindowsAll, Anomalies: true, Incidents: true})
	f("take with defaults", c.Sinks[1].Take, Take{Events: true, Windows: WindowsNone, Anomalies: true})
	f("id", s.Identifier()+" "+c.Sinks[1].Identifier(), "siem-1 archive")
	f("from", s.From, sink.StartAt(time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)))
	f("in flight", []int{s.InFlight, c.Sinks[1].InFlight}, []int{8, 1})
	f("linger", s.Batch.Linger, time.Second)
	f("retry", c.Sinks[2].Retry, sink.DefaultRetry())
	f("principal", c.SelfPrincipals[1], environment["READER"])
	f("resource", c.Resource, map[string]string{"service.name": "keytrail", "deployment.environment.name": environment["SIEM_HOST"]})
	// Every key of full.yaml differs from its default, so a key that Parse ignores shows.
	left, right := reflect.ValueOf(*c), reflect.ValueOf(*Default())
	for _, section := range []string{"Kafka", "Decode", "Window", "Commit", "Detect", "Telemetry"} {
		a, b := left.FieldByName(section), right.FieldByName(section)
		for i := range a.NumField() {
			name := section + "." + a.Type().Field(i).Name
			if name == "Kafka.Embedded" || name == "Kafka.DataDir" {
				continue // in embedded.yaml
			}
			if reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				t.Errorf("%s has its default, %v: full.yaml does not set it or Parse ignores it", name, a.Field(i))
			}
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keytrail.yaml")
	f := func(content, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want an error with %q", content, err, want)
		}
	}
	f("x: 1", path+":1: x: unknown key")
	f(strings.Repeat("#", maxFile)+"\n", path+": is larger than 1 MiB")
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
	t.Setenv("KEYTRAIL_TEST_PREFIX", "eu.")
	if err := os.WriteFile(path, []byte("kafka: {prefix: '${KEYTRAIL_TEST_PREFIX}'}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Kafka.Prefix != "eu." {
		t.Errorf("got %+v, %v; want the prefix from the environment", c, err)
	}
	var one *Error
	if _, err := Parse("a.yaml", []byte("\n\nx: 1")); !errors.As(err, &one) || one.Line != 3 || one.Key != "x" {
		t.Errorf("got %v, want an *Error for key x on line 3", one)
	}
}

func TestNearest(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if meant := nearest(got, []string{"size", "out_of_orderness", "allowed_lateness", "keep"}); meant != want {
			t.Errorf("%q: got %q, want %q", got, meant, want)
		}
	}
	f("sise", "size")
	f("Size", "size")
	f("out_of_order", "out_of_orderness")
	f("allowedlateness", "allowed_lateness")
	f("x", "")
	f("", "")
	f("ke", "")
	f("something_else", "")
}

// FuzzParse checks that Parse never panics, and that it reads back the printed form of
// any input that it accepts.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		environment := func(name string) (string, bool) {
			if len(name)%2 == 0 {
				return "", false
			}
			return "\x1bQZJX " + name, true
		}
		c, err := parse("fuzz.yaml", data, environment)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := c.Print(&out); err != nil {
			t.Fatal(err)
		}
		back, err := parse("printed.yaml", out.Bytes(), environment)
		if err != nil {
			t.Fatalf("cannot read back:\n%s\n%v", &out, err)
		}
		var again bytes.Buffer
		if err := back.Print(&again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Errorf("printed:\n%s\nprinted after reading it back:\n%s", &out, &again)
		}
	})
}
