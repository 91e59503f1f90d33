package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The error of a wrong command line names the flag, the value and the allowed values, and
// nothing happens.
func TestUsage(t *testing.T) {
	f := func(args string, want ...string) {
		t.Helper()
		out := keytrail(t, nil, strings.Fields(args)...).wants(t, 2, want...)
		if out.stdout != "" {
			t.Errorf("%s: output on standard output: %.200s", args, out.stdout)
		}
		for _, line := range lines(out.stderr)[:1] {
			if !strings.HasPrefix(line, "keytrail: ") {
				t.Errorf("%s: the message is %q", args, line)
			}
		}
	}
	f("scan", "scan needs files, directories, s3://BUCKET/PREFIX or -")
	f("scan x --windows some", `"some"`, "-windows", "all, anomalous, none")
	f("scan x -o yaml", `"yaml"`, "-o", "auto, json, table, csv")
	f("scan x --window 90s", `"90s"`, "-window", "multiple of 1m from 1m to 24h")
	f("scan x --window 5", `"5"`, "-window", "such as 5m")
	f("scan x --rollup 7m", "roll-up 7m0s is not a multiple of the window size, 5m0s")
	f("scan x --rollup soon", `"soon"`, "-rollup")
	f("scan x --window 48h", `"48h"`, "-window", "24h")
	f("scan x --threshold 2", `"2"`, "-threshold", "above 0, up to 0.01")
	f("scan x --threshold NaN", `"NaN"`, "-threshold", "above 0, up to 0.01")
	f("scan x --min-count 0", `"0"`, "-min-count", "from 1 to 1,000,000,000")
	f("scan x --warm-up -1h", `"-1h"`, "-warm-up", "from 0s to 840h")
	f("scan x --max-inflated 0", `"0"`, "-max-inflated", "from 1 MiB to 1024 TiB")
	f("scan x --max-ratio many", `"many"`, "-max-ratio", "from 1 to 2,000")
	f("scan x --max-record 10", `"10"`, "-max-record", "from 64 KiB to 64 MiB")
	f("scan x --max-depth 1000000000", `"1000000000"`, "-max-depth", "from 8 to 10,000")
	f("scan x --nonsense", `"--nonsense"`, "keytrail scan --help")
	f("scan x --windows", "-windows", "needs a value", "one of all, anomalous, none")
	f("normalize", "normalize needs files, directories or -")
	f("normalize x -o table", `"table"`, "-o", "json, otlp")
	f("normalize x --body some", `"some"`, "-body", "keep, none")
	f("run", "run needs -c FILE")
	f("run -c x y", "takes no arguments")
	f("demo x", "takes no arguments", `"x"`)
	f("demo --for 0s", `"0s"`, "-for", "from 1s to 24h")
	f("demo --pace -1s", `"-1s"`, "-pace", "from 0s to")
	f("demo --duration 0", `"0"`, "-duration", "from 1h to 9600h")
	f("demo --scenarios burst,x", `"x"`, "burst")
	f("generate", "generate needs --out DIR")
	f("generate --out x --keys 3", `"3"`, "-keys", "from 10 to 100,000")
	f("generate --out x --principals 3", `"3"`, "-principals", "from 10 to 1,000,000")
	f("generate --out x --start today", "--start", `"today"`, "RFC 3339")
	f("generate --out x --events 2000000 --duration 1h", "2000000", "0 to 1000000")
	f("config check", "config check needs -c FILE")
	f("config", "config needs check or print")
	f("config show -c x", `"show"`, "check, print")
	f("schema a.b", `"a.b"`, "registry, manifest, jsonschema, otel, table, fields, correspondence", windowEvent)
	f("schema jsonschema a.b", `"a.b"`, windowEvent)
	f("schema jsonschema keytrail.window b", "schema jsonschema", `"b"`)
	f("schema table b", "schema table", `"b"`)
	f("schema fields -o yaml", `"yaml"`, "-o", "table, json")
	f("schema table -o json", `"-o"`, "schema table --help")
	f("version now", "no arguments")
	f("scann x", `unknown command "scann"; did you mean scan?`)
	f("xyz", `"xyz"`, "demo", "scan", "version")
	f("config chekc", `"chekc"; did you mean check?`)
	f("schema fieldz", `"fieldz"; did you mean fields?`)
	f("help scam", `"scam"; did you mean scan?`)
	f("completion", "bash, zsh, fish or powershell")
	f("completion csh", `"csh"`, "bash, zsh, fish or powershell")
	f("scan x --windwo 5m", `unknown flag "--windwo"; did you mean --window?`)
	f("scan x --max-ent 5000", `"--max-ent"; did you mean --max-entities?`)
	f("scan x -window 5m", `"-window" has one dash; write --window`)
	f("scan -window=5m x", `"-window" has one dash; write --window`)
	f("run -config x", `"-config" has one dash; write --config`)
	f("scan x -help", `"-help" has one dash; write --help`)
	f("scan x -windwo 5m", `unknown flag "-windwo"; did you mean --window?`)
	f("scan x -x", `unknown flag "-x"`, "keytrail scan --help")
	f("--verson", `"--verson"; did you mean --version?`)
	f("explain abcdef01 --from x --ascii=maybe", "--ascii", `"maybe"`, "true or false")
	f("scan x --since yesterday", `"yesterday"`, "2026-11-20T09:00:00Z", "24h")
	f("scan x --since 1h --until 2h", "--since", "is not before --until")
	f("usage --key arn:aws:kms:eu-west-1:111122223333:key/a x --since 1h --until 2h", "is not before --until")
	f("explain --list abcdef01", "--list", "--from FILE or -c FILE")
	f("explain abcdef01 --from x -o csv", "need --list")
}

func TestPathMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, command := range []string{"scan", "normalize"} {
		keytrail(t, nil, command, missing).wants(t, 1, "cannot read", missing, "no such file")
	}
	keytrail(t, strings.NewReader(""), "scan", "-", "--dead-letter", filepath.Join(missing, "x")).wants(t, 1, "cannot open dead letter", missing)
}

// deadLetter is a line of --dead-letter FILE.
type deadLetter struct {
	Time                          time.Time
	Stage, Reason, Detail, Object string
	Index                         int
	Offset                        int64
	Raw                           string
}

// Broken records end a command with 3: each has a line on standard error and is complete
// in the file, and all other records are printed.
func TestDeadLetters(t *testing.T) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	broken := `{"eventVersion":"1.08","eventSource":"kms.amazonaws.com",,}`
	late := strings.Replace(event("c", "u", at), "2026-01-05T00:00:00Z", "yesterday", 1)
	dir := t.TempDir()
	head := `{"Records":[` + event("a", "u", at) + ","
	file := write(t, filepath.Join(dir, "one\nline.json"), head+broken+","+event("b", "u", at)+","+late+`]}`)
	for _, command := range []string{"scan", "normalize"} {
		t.Run(command, func(t *testing.T) {
			letters := filepath.Join(t.TempDir(), "dead.ndjson")
			args := []string{command, dir, "--dead-letter", letters}
			if command == "scan" {
				args = append(args, "--windows", "all")
			}
			out := keytrail(t, nil, args...).wants(t, 3, "bad_json", "bad_time", "2 dead letters")
			if n := strings.Count(out.stderr, "dead letter: "); n != 2 || len(lines(out.stderr)) != 3 {
				t.Errorf("want a line for each of 2 dead letters, and the summary:\n%s", out.stderr)
			}
			records := each(t, out.stdout, validated)
			if command == "normalize" && (len(records) != 2 || records[0].str("log.record.uid") != "a" || records[1].str("log.record.uid") != "b") {
				t.Errorf("want the records a and b, got %d", len(records))
			}
			if command == "scan" && (len(records) < 3 || records[len(records)-1].int(windowCalls) != 2) {
				t.Errorf("want windows of two calls, got %d records", len(records))
			}
			kept, err := os.ReadFile(letters)
			if err != nil {
				t.Fatal(err)
			}
			var got []deadLetter
			for _, line := range lines(string(kept)) {
				var d deadLetter
				if err := json.Unmarshal([]byte(line), &d); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if d.Stage != command || d.Object != file || d.Detail == "" || time.Since(d.Time) > time.Hour {
					t.Errorf("a dead letter that does not say where it is from: %s", line)
				}
				got = append(got, d)
			}
			if len(got) != 2 || got[0].Raw != broken || got[0].Index != 1 || got[0].Offset != int64(len(head)) || got[1].Raw != late || got[1].Index != 3 {
				t.Errorf("the dead letters in the file are %+v", got)
			}
		})
	}
}

// flood writes records into a pipe as fast as the reader reads, until the pipe is closed
// or n records are written.
func flood(w io.WriteCloser, n int, all chan<- struct{}) {
	defer w.Close()
	out := bufio.NewWriterSize(w, 64<<10)
	begin, end, _ := strings.Cut(event("ID", "u", time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)), "ID")
	for i := 0; ; i++ {
		if i == n {
			out.Flush()
			close(all)
			return
		}
		if _, err := fmt.Fprintf(out, "%s%08x-0000-4000-8000-%012x%s\n", begin, uint32(i)*2654435761, i, end); err != nil {
			return
		}
	}
}

// too many for memory: the other calls go to temporary files.
const spilled = 1_100_000

// longScan starts a scan of a pipe with n records and waits until it has
// temporary files.
func longScan(t *testing.T, n int, args ...string) (p *process, all chan struct{}, stdout *os.File) {
	t.Helper()
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdout.Close(); feed.Close() })
	p = start(t, in, out, append([]string{"scan", "-", "--windows", "all"}, args...)...)
	in.Close()
	out.Close()
	all = make(chan struct{})
	go flood(feed, n, all)
	until(t, "the scan has temporary files", func() bool {
		found, err := filepath.Glob(filepath.Join(p.tmp, "keytrail-scan-*", "*"))
		return err == nil && len(found) > 0
	})
	return p, all, stdout
}

func TestScanInterrupted(t *testing.T) {
	heavy(t)
	p, _, _ := longScan(t, math.MaxInt) // without end, so that nothing else ends it
	p.signal(t, syscall.SIGINT)
	o := outcome{code: p.code(t), stderr: p.stderr.String()}
	o.wants(t, 1, "keytrail: interrupted")
	if strings.Contains(o.stderr, "dead letter") {
		t.Errorf("the interruption became a dead letter:\n%s", o.stderr)
	}
	p.leavesNothing(t)
}

// A closed output ends the scan, after it has removed its temporary files.
func TestScanBrokenPipe(t *testing.T) {
	heavy(t)
	p, all, stdout := longScan(t, spilled, "--window", "1m")
	stdout.Close()
	select {
	case <-all:
	case <-p.done:
	}
	o := outcome{code: p.code(t), stderr: p.stderr.String()}
	o.wants(t, 0)
	p.leavesNothing(t)
}

// Waiting for input can be interrupted.
func TestInterruptedWithoutInput(t *testing.T) {
	for _, command := range []string{"scan", "normalize"} {
		in, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		letters := filepath.Join(t.TempDir(), "dead.ndjson")
		p := start(t, in, nil, command, "-", "--dead-letter", letters)
		in.Close()
		until(t, command+" has begun", func() bool { _, err := os.Stat(letters); return err == nil })
		p.signal(t, syscall.SIGTERM)
		o := outcome{code: p.code(t), stderr: p.stderr.String()}
		o.wants(t, 1, "keytrail: interrupted")
	}
}

// Output that cannot be written is a failure of any command.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("NOT TESTED on a full disk: %v", err)
	}
	defer full.Close()
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for _, command := range []string{"scan - --windows all", "normalize -", "schema " + windowEvent, "version", "help", "config print", "demo --events 100 --pace 0"} {
		p := start(t, strings.NewReader(event("a", "u", at)), full, strings.Fields(command)...)
		o := outcome{code: p.code(t), stderr: p.stderr.String()}
		o.wants(t, 1, "keytrail: cannot write to standard output: ", "no space left")
		p.leavesNothing(t)
	}
}
