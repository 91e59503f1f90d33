package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// commandsOf returns the names of the commands that a help text lists.
func commandsOf(text string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)  +[A-Z].{15,}$`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// Every command that the help lists has its own help, with an example and its flags.
func TestHelp(t *testing.T) {
	all := keytrail(t, nil, "help").wants(t, 0).stdout
	names := commandsOf(all)
	for _, want := range []string{"demo", "scan", "explain", "usage", "normalize", "run", "replay", "generate", "lookup", "config", "rules", "schema", "completion", "version", "help"} {
		if !slices.Contains(names, want) {
			t.Errorf("help lists no %s:\n%s", want, all)
		}
	}
	for _, arg := range []string{"-h", "--help"} {
		if out := keytrail(t, nil, arg).wants(t, 0).stdout; out != all {
			t.Errorf("%s differs from help:\n%s", arg, out)
		}
	}
	if out := keytrail(t, nil).wants(t, 2, "Usage:\n  keytrail COMMAND"); out.stdout != "" {
		t.Errorf("without a command there is output: %s", out.stdout)
	}
	for _, path := range append(names, "config check", "config print", "rules check", "schema fields") {
		words := strings.Fields(path)
		out := keytrail(t, nil, append(words, "-h")...).wants(t, 0)
		for _, want := range []string{"\nUsage:\n  keytrail " + path, "\nExamples:\n  ", "\n  -h, --help "} {
			if !strings.Contains(out.stdout, want) || out.stderr != "" {
				t.Errorf("%s -h has no %q, or says %q:\n%s", path, want, out.stderr, out.stdout)
			}
		}
		if same := keytrail(t, nil, append([]string{"help"}, words...)...).wants(t, 0).stdout; same != out.stdout {
			t.Errorf("help %s differs from %s -h", path, path)
		}
		if strings.Contains(out.stdout, "0m0s") {
			t.Errorf("%s -h prints durations as no person writes them:\n%s", path, out.stdout)
		}
		for _, m := range regexp.MustCompile(`default (\d{4,})\)`).FindAllStringSubmatch(out.stdout, -1) {
			if n, err := strconv.Atoi(m[1]); err != nil || n%1024 == 0 {
				t.Errorf("%s -h prints the size %s, want a unit", path, m[1])
			}
		}
	}
	out := keytrail(t, nil, "scan", "-h").stdout
	for _, want := range []string{"--windows all|anomalous|none", "(default anomalous)", "-o, --output auto|json|table|csv", "--window size", "(default 5m)", "--threshold probability", "(default 1e-07)", "--dead-letter FILE", "(default 1 GiB)", "\nAWS:\n"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.TrimSpace(want)) {
			t.Errorf("scan -h does not say %q:\n%s", want, out)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if out := keytrail(t, nil, args...).wants(t, 0).stdout; !regexp.MustCompile(`^keytrail \d+\.\d+\.\d+ \(schema \d+\.\d+\.\d+\)\n$`).MatchString(out) {
			t.Errorf("%q says %q", args, out)
		}
	}
	var build struct {
		Version, Commit, Go, Platform, Schema string
		Format                                int
	}
	d := json.NewDecoder(strings.NewReader(keytrail(t, nil, "version", "--json").wants(t, 0).stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&build); err != nil {
		t.Fatal(err)
	}
	if build.Version == "" || build.Commit == "" || build.Go != runtime.Version() || build.Platform != runtime.GOOS+"/"+runtime.GOARCH ||
		build.Format != wire.FormatVersion || build.Schema != otellog.SchemaVersion {
		t.Errorf("version --json says %+v", build)
	}
}

// The scripts of the shells offer commands, flags and values.
func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default", "zsh": "#compdef keytrail", "fish": "complete -c keytrail", "powershell": "Register-ArgumentCompleter"} {
		if out := keytrail(t, nil, "completion", shell).wants(t, 0).stdout; !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%.300s", shell, want, out)
		}
	}
	f := func(want string, args ...string) {
		t.Helper()
		if out := keytrail(t, nil, append([]string{"__complete"}, args...)...).wants(t, 0).stdout; !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("%q offers\n%swant %q", args, out, want)
		}
	}
	f("scan\tCount", "sc")
	f("check\tCheck", "config", "")
	f("--window\t", "scan", "--windo")
	f("anomalous\n", "scan", "--windows", "")
	f("csv\n", "usage", "-o", "")
	f("fish\n", "completion", "")
	f("keytrail.window\n", "schema", "jsonschema", "")
}

// TestCompletionInBash loads the script into a bash and presses Tab in it. The package
// bash-completion splits the line before the cursor; where it is missing, COMP_WORDS do.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT TESTED: the completion script, because there is no bash: ", err)
	}
	script := keytrail(t, nil, "completion", "bash").wants(t, 0).stdout
	const tab = `
if ! declare -F _get_comp_words_by_ref >/dev/null; then
	_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${words[cword]} prev=${words[cword-1]}; }
fi
COMP_WORDS=(keytrail "$@") COMP_CWORD=$# COMP_LINE="keytrail $*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
complete -p keytrail >&2 && __start_keytrail && printf '%s\n' "${COMPREPLY[@]}"`
	f := func(want string, words ...string) {
		t.Helper()
		cmd := exec.Command(bash, append([]string{"--norc", "-c", script + tab, "bash"}, words...)...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || !slices.ContainsFunc(lines(string(out)), func(line string) bool {
			offered, _, _ := strings.Cut(line, " ")
			return offered == want
		}) {
			t.Errorf("%q offers %q, want %q: %v %s", words, out, want, err, said.String())
		}
	}
	f("scan", "sc")
	f("normalize", "")
	f("--windows", "scan", "--windo")
	f("anomalous", "scan", "--windows", "")
	f("check", "config", "ch")
}

// The configuration that config prints reads back the same, without secrets.
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

// The same seed gives the same files, with their labels.
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
