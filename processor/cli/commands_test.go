package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/generate"
)

func TestHelp(t *testing.T) {
	commands := []string{"demo", "scan", "explain", "usage", "normalize", "run", "replay", "generate", "lookup", "config", "rules", "schema", "version"}
	for _, arg := range []string{"help", "-h", "--help"} {
		out := keytrail(t, nil, arg).wants(t, 0).stdout
		for _, c := range commands {
			if !regexp.MustCompile(`(?m)^  ` + c + `\b.{20,}`).MatchString(out) {
				t.Errorf("%s: nothing about %s:\n%s", arg, c, out)
			}
		}
	}
	if out := keytrail(t, nil).wants(t, 2, "Usage: keytrail COMMAND"); out.stdout != "" {
		t.Errorf("without a command there is output: %s", out.stdout)
	}
	for _, c := range commands {
		out := keytrail(t, nil, c, "-h").wants(t, 0)
		if !strings.HasPrefix(out.stdout, "Usage: keytrail "+c) || out.stderr != "" {
			t.Errorf("%s -h says %q, and on stderr %q", c, out.stdout, out.stderr)
		}
	}
	out := keytrail(t, nil, "scan", "-h").stdout
	for _, want := range []string{"-windows all|anomalous|none", "(default anomalous)", "-window size", "(default 5m0s)", "-threshold probability", "(default 1e-07)", "-dead-letter FILE"} {
		if !strings.Contains(out, want) {
			t.Errorf("scan -h does not say %q:\n%s", want, out)
		}
	}
}

func TestVersion(t *testing.T) {
	if out := keytrail(t, nil, "version").wants(t, 0).stdout; !regexp.MustCompile(`^keytrail \d+\.\d+\.\d+ \(schema \d+\.\d+\.\d+\)\n$`).MatchString(out) {
		t.Errorf("version says %q", out)
	}
}

// What config prints is a configuration that says the same, without secrets.
func TestConfig(t *testing.T) {
	t.Setenv("TOKEN", "hunter2")
	text := "kafka: {brokers: [\"127.0.0.1:9092\"], prefix: eu.}\nwindow: {size: 10m}\nsinks:\n" +
		"  - {name: siem, type: otlp, endpoint: \"http://127.0.0.1:4318\", headers: {Authorization: \"Bearer ${TOKEN}\"}}\n"
	path := write(t, inTemp(t, "keytrail.yaml"), text)
	if out := keytrail(t, nil, "config", "check", "-c", path).wants(t, 0).stdout; out != path+" is valid\n" {
		t.Errorf("config check says %q", out)
	}
	printed := keytrail(t, nil, "config", "print", "-c", path).wants(t, 0).stdout
	for _, want := range []string{"prefix: eu.", "size: 10m", "out_of_orderness: 15m", "name: siem", "${TOKEN}"} {
		if !strings.Contains(printed, want) {
			t.Errorf("config print lacks %q:\n%s", want, printed)
		}
	}
	if strings.Contains(printed, "hunter2") {
		t.Error("config print shows a secret")
	}
	again := write(t, inTemp(t, "printed.yaml"), printed)
	if out := keytrail(t, nil, "config", "print", "-c", again).wants(t, 0).stdout; out != printed {
		t.Errorf("printed, and printed after reading it back, differ:\n%s\n%s", printed, out)
	}
	defaults := write(t, inTemp(t, "defaults.yaml"), keytrail(t, nil, "config", "print").wants(t, 0).stdout)
	keytrail(t, nil, "config", "check", "-c", defaults).wants(t, 0)
}

// The same seed gives the same files, with the labels of what is in them.
func TestGenerate(t *testing.T) {
	var first string
	var files []string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "trail")
		args := []string{"generate", "--out", dir, "--seed", "5", "--duration", "30h", "--events", "1000", "--start", "2026-02-02T00:00:00Z", "--scenarios", "burst,key_deletion"}
		keytrail(t, nil, args...).wants(t, 0, " records in ", dir)
		text, err := os.ReadFile(filepath.Join(dir, generate.LabelsFile))
		if err != nil {
			t.Fatal(err)
		}
		labels := strings.Split(strings.TrimSpace(string(text)), "\n")
		var label generate.Label
		if err := json.Unmarshal([]byte(labels[0]), &label); err != nil {
			t.Fatal(err)
		}
		if label.Start.Before(time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)) || len(labels) < 2 || label.Scenario != "burst" {
			t.Errorf("the labels say %s", text)
		}
		records := 0
		for _, r := range recordsIn(t, filepath.Join(dir, "AWSLogs")) {
			records += len(r)
		}
		if list := filesBelow(t, dir); first == "" {
			first, files = string(text), list
		} else if first != string(text) || !slices.Equal(files, list) || len(list) < 100 || records < 500_000 {
			t.Errorf("the second trail has other files or labels: %d and %d files, %d bytes", len(files), len(list), records)
		}
		keytrail(t, nil, args...).wants(t, 1, "already holds AWSLogs", dir)
	}
	keytrail(t, nil, "generate", "--out", t.TempDir(), "--repeat", "2").wants(t, 2, "Repeat is 2", "168h")
	keytrail(t, nil, "generate", "--out", t.TempDir(), "--scenarios", "slow_drip").wants(t, 2, "slow_drip", "168h")
}

func TestGenerateInterrupted(t *testing.T) {
	heavy(t)
	dir := t.TempDir()
	p := start(t, nil, nil, "generate", "--out", dir, "--events", "50000000") // takes many minutes
	until(t, "there are files", func() bool { _, err := os.Stat(filepath.Join(dir, "AWSLogs")); return err == nil })
	p.signal(t, syscall.SIGINT)
	o := outcome{code: p.code(t), stderr: p.stderr.String()}
	o.wants(t, 1, "keytrail: interrupted")
}
