package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-events", "20000", "-entities", "1000, 2000", "-latency", "5s", "-peers", "goka"}, io.Discard)
	if err != nil || o.events != 20_000 || !slices.Equal(o.entities, []int{1000, 2000}) || o.latency != 5*time.Second || o.with(peerStreams) || !o.with(peerGoka) {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = parse([]string{"-events", "0", "-entities", "", "-latency", "0", "-peers", ""}, io.Discard)
	if err != nil || o.events != 0 || len(o.entities) != 0 || o.latency != 0 || len(o.peers) != 0 {
		t.Errorf("nothing to measure: %+v, %v", o, err)
	}
	if o, err = parse(nil, io.Discard); err != nil || o.events != 400_000 || len(o.entities) != 3 || o.latency != 30*time.Second || !o.with(peerStreams) || !o.with(peerGoka) {
		t.Errorf("defaults: %+v, %v", o, err)
	}
}

// TestParseRefuses checks that errors name the fault.
func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"-events 10":       "-events is 10",
		"-keys 3":          "-keys is 3",
		"-principals 9":    "-principals 9",
		"-latency 10ms":    "-latency is 10ms",
		"-rate 0":          "-rate is 0",
		"-entities 1,2":    "-entities has 1",
		"-entities 1001":   "-entities has 1001",
		"-entities many":   `"many" is not a number`,
		"-peers spark":     `-peers has "spark"`,
		"-codec rar":       `-codec is "rar"`,
		"everything":       `got ["everything"]`,
		"-unheard-of flag": "unheard-of",
	} {
		var out bytes.Buffer
		if _, err := parse(strings.Fields(line), &out); err == nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, and it says %s", line, err, out.String())
		}
	}
}

func TestParseStat(t *testing.T) {
	text := "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14\n"
	if cpu, err := parseStat(text); err != nil || cpu != 2*time.Second {
		t.Errorf("%v, %v", cpu, err)
	}
	for _, bad := range []string{"", "42 (a) S 1 2", "no parentheses 1 2 3 4 5 6 7 8 9 10 11 12 13 14", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x 50 13"} {
		if cpu, err := parseStat(bad); err == nil {
			t.Errorf("%q gives %v", bad, cpu)
		}
	}
}

func TestParseStatus(t *testing.T) {
	text := "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
	if n, err := parseStatus(text, "VmHWM"); err != nil || n != 2<<20 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := parseStatus(text, "VmSwap"); err == nil {
		t.Errorf("what is not there gives %d", n)
	}
}

// TestReadUsage reads this process's usage, which is not zero.
func TestReadUsage(t *testing.T) {
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
	}
	u, err := readUsage(os.Getpid())
	if err != nil || u.cpu <= 0 || u.rss < 1<<20 || u.peak < u.rss/2 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := readUsage(1 << 30); err == nil {
		t.Error("a process that does not exist has usage")
	}
}

func TestDescendant(t *testing.T) {
	p, err := start(exec.Command("sleep", "60.125"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := descendant(os.Getpid(), "60.125"); err != nil || pid != p.cmd.Process.Pid {
		t.Errorf("%d, %v; want %d", pid, err, p.cmd.Process.Pid)
	}
	if err := p.end(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if pid, err := descendant(os.Getpid(), "60.125"); err == nil {
		t.Errorf("a process that has ended is found: %d", pid)
	}
}

// TestProcess: a process that ends by itself is an error with its output.
func TestProcess(t *testing.T) {
	p, err := start(exec.Command("sh", "-c", "echo the reason; exit 3"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if _, err := p.usage(); err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	if lines := p.logged("reason"); !slices.Equal(lines, []string{"the reason\n"}) {
		t.Errorf("logged %q", lines)
	}
}

func TestSecondHalf(t *testing.T) {
	s := func(at, cpu, consumed int) sample {
		return sample{time.Duration(at) * time.Second, time.Duration(cpu) * time.Second, int64(consumed)}
	}
	got := secondHalf([]sample{s(1, 1, 0), s(2, 2, 49), s(3, 4, 60), s(5, 7, 100)}, 100)
	if want := (half{40, 2 * time.Second, 3 * time.Second}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := secondHalf([]sample{s(1, 1, 0), s(2, 2, 90), s(3, 3, 100)}, 100); got != (half{}) {
		t.Errorf("a tenth is no half: %+v", got)
	}
	if got := secondHalf([]sample{s(1, 1, 100)}, 100); got.events != 0 || rate(got) != "-" || micros(got.cpu, got.events) != "-" {
		t.Errorf("one look at all gives %+v", got)
	}
}

// TestTotals: the newest value of each window counts, in any order.
func TestTotals(t *testing.T) {
	y := newTally()
	y.put("a", "key", 1, 5)
	y.put("a", "key", 3, 7)
	y.put("a", "key", 2, 6)
	y.put("b", "key", 0, 1)
	y.put("c", "pair", 0, 2)
	y.put("c", "pair", 0, 3) // an open window is published repeatedly
	got := y.totals()
	if err := got.agree("this", totals{"key": 8, "pair": 3}); err != nil {
		t.Error(err)
	}
	for _, other := range []totals{{"key": 8, "pair": 4}, {"key": 8}, {"key": 8, "pair": 3, "principal": 1}} {
		if got.agree("this", other) == nil {
			t.Errorf("%v and %v are the same", got, other)
		}
	}
}

func TestPercentile(t *testing.T) {
	var list []time.Duration
	for i := range 200 {
		list = append(list, time.Duration(i+1))
	}
	for percent, want := range map[int]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := percentile(list, percent); got != want {
			t.Errorf("%d %%: %d, want %d", percent, got, want)
		}
	}
	if got := percentile(list[:1], 50); got != 1 {
		t.Errorf("of one: %d", got)
	}
}

func TestParseRestored(t *testing.T) {
	line := `time=2026-11-26T17:00:00.000Z level=INFO msg="detect: state restored" partition=2 entities=2512 took=1.204s`
	if n, took, err := parseRestored(line); err != nil || n != 2512 || took != 1204*time.Millisecond {
		t.Errorf("%d, %v, %v", n, took, err)
	}
	if _, _, err := parseRestored("detect: state restored"); err == nil {
		t.Error("a line without numbers is read")
	}
}

func TestLiveHeap(t *testing.T) {
	lines := []string{
		"gc 11 @7.4s 4%: 0.045+280+0.20 ms clock, 0.091+9.3/164/131+0.40 ms cpu, 464->526->358 MB, 544 MB goal, 0 MB stacks, 0 MB globals, 2 P\n",
		"gc 12 @8.5s 4%: 2.9+467+0.004 ms clock, 5.8+0/158/379+0.008 ms cpu, 610->615->491 MB, 717 MB goal, 0 MB stacks, 0 MB globals, 2 P\n",
		"a line with gc in it\n",
	}
	if got := liveHeap(lines); got != 491<<20 {
		t.Errorf("%d", got)
	}
	if got := liveHeap(nil); got != 0 {
		t.Errorf("without lines %d", got)
	}
}

func TestCostTable(t *testing.T) {
	row := func(name string, cpu time.Duration) cost {
		return cost{name: name, events: 1000, wall: 2 * time.Second, usage: usage{cpu: cpu, peak: 5e6}, half: half{500, time.Second, cpu / 2}, broker: cpu / 10}
	}
	var out bytes.Buffer
	costTable(&out, "Title", []cost{row(nameBoth, time.Second), row(nameCeiling, time.Second/4), row(nameStreams, 4*time.Second)}, "A note.")
	for _, want := range []string{"Title", "A note.", "to Kafka Streams: the same counts, exactly once: 4.00 in the second half", "4.00 from the start", "to the ceiling: 0.25 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	lines := strings.Split(out.String(), "\n")
	if got, want := strings.Join(strings.Fields(lines[3])[:9], " "), "500 1000.0 1000 4.00 0.25 500 1000.0 5 100.0"; got != want {
		t.Errorf("first row %s, want %s", got, want)
	}
	out.Reset()
	costTable(&out, "Title", []cost{row(nameBoth, time.Second)})
	if strings.Contains(out.String(), "RATIO") {
		t.Errorf("a ratio to nothing:\n%s", out.String())
	}
}

// TestCall checks that the generated events have the meaning that the tables assume.
func TestCall(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 4, 59, 0, time.UTC)
	dec, norm := cloudtrail.NewDecoder(decoding.Limits{}), normalize.New(normalize.Options{})
	record := func(c call) *otellog.Record {
		t.Helper()
		var ev cloudtrail.Event
		rec := new(otellog.Record)
		if err := dec.Decode(c.json(), &ev); err != nil {
			t.Fatalf("%s: %v", c.json(), err)
		}
		if ok, err := norm.Record(&ev, 0, rec); !ok || err != nil {
			t.Fatalf("%s: %v, %v", c.json(), ok, err)
		}
		return rec
	}
	rec := record(call{at: at, id: uuid(entityIDs, 7), key: 3, principal: 4})
	for name, want := range map[string]string{
		semconv.KeytrailCallID: "00000002-0000-4000-8000-000000000007", semconv.KeytrailPrincipalID: "arn:aws:iam::111122223333:role/service-4",
		semconv.AWSKMSKeyARN: "arn:aws:kms:eu-central-1:111122223333:key/00000003-1111-4222-8333-444444444444", semconv.KeytrailOperationClass: "decrypt",
	} {
		if got := rec.Str(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	got := strings.Join(entitiesOf(rec), "|")
	key, role := rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.KeytrailPrincipalID)
	start := strconv.FormatInt(at.Truncate(5*time.Minute).UnixNano(), 10)
	if want := "principal\n" + start + "\n" + role + "|key\n" + start + "\n" + key + "|pair\n" + start + "\n" + key + "\n" + role; got != want {
		t.Errorf("entities %q, want %q", got, want)
	}
	if rec := record(call{at: at, id: uuid(1, 1), deletes: true}); rec.Str(semconv.KeytrailOperationClass) != "destroy" {
		t.Errorf("ScheduleKeyDeletion is of class %q", rec.Str(semconv.KeytrailOperationClass))
	}
}
