package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reloads sends SIGHUP and waits for another line in the log.
func (p *process) reloads(t *testing.T, line string) {
	t.Helper()
	before := strings.Count(p.stderr.String(), line)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, line, func() bool { return strings.Count(p.stderr.String(), line) > before })
}

// Two processes share the work while their sinks, rules and log level change, one process
// after the other. Each sink has each record, and the windows equal the oracle's. A file
// that is wrong changes nothing. Between the two reloads the log names the process whose
// rules differ.
func TestReload(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 36, 2500)
	dir := t.TempDir()
	archive, second, rules := filepath.Join(dir, "one.ndjson"), filepath.Join(dir, "two.ndjson"), filepath.Join(dir, "rules.yml")
	config := filepath.Join(dir, "keytrail.yaml")
	put := func(more string, sinks ...string) {
		write(t, config, fmt.Sprintf(pipelineConfig, b.address, strings.Join(sinks, ""))+more)
	}
	sink := func(name, path string) string {
		return strings.NewReplacer("archive", name, "${ARCHIVE}", path).Replace(fileSink)
	}
	put("", sink("first", archive))
	one := run(t, config, archive)
	two := run(t, config, archive, "--stages", "normalize,count,detect")
	one.ready(t)
	two.ready(t)
	third := len(tr.records) / 3
	b.produce(t, tr.records[:third])

	const applied, refused = "the configuration was read again", "refused as a whole"
	write(t, rules, withoutCorrelation())
	more := fmt.Sprintf("rules: {sigma: [%q]}\ntelemetry: {log: {level: warn}}\n", rules)
	put(more, sink("first", archive), sink("second", second))
	one.reloads(t, "the rules have changed")
	b.produce(t, tr.records[third:2*third])
	until(t, "processes that judge by different rules are named", func() bool {
		return strings.Contains(one.stderr.String()+two.stderr.String(), "processes judge by different rules")
	})
	two.reloads(t, "the rules have changed")

	write(t, rules, "title: x\n")
	one.reloads(t, refused)
	if !strings.Contains(one.stderr.String(), "rules.yml:1:") {
		t.Error("the refusal does not name the line")
	}
	write(t, rules, withoutCorrelation())
	put("detect: {min_count: 41}\n"+more, sink("second", second))
	one.reloads(t, refused)
	put(strings.Replace(more, "warn", "info", 1), sink("second", filepath.Join(dir, "no/such/folder")))
	one.reloads(t, refused)

	// The first sink moves to another file, and the second one keeps its position.
	moved := filepath.Join(dir, "moved.ndjson")
	put(strings.Replace(more, "warn", "info", 1), sink("first", moved), sink("second", second))
	one.reloads(t, applied)
	b.produce(t, tr.records[2*third:])
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the files of the first sink have everything", func() bool { return archived(t, archive, moved).missing(tr) == "" })
	until(t, "the file of the second sink has everything", func() bool { return archived(t, second).missing(tr) == "" })
	one.stop(t, syscall.SIGTERM)
	two.stop(t, syscall.SIGTERM)
	wholeLines(t, archive, second, moved)
	if n := repeated(t, archive, moved); n > 0 {
		t.Errorf("%d records are in the files of the first sink twice", n)
	}
	anomalies := b.committed(t, "kms.anomalies")
	if !strings.Contains(fmt.Sprint(anomalies.records), "sigma/refused") {
		t.Error("the rule that was loaded found nothing")
	}
	digests := map[string]bool{}
	for _, rec := range anomalies.records {
		digest := ""
		for _, a := range rec.Attributes {
			if a.Key == "keytrail.anomaly.rules" {
				digest = a.Value.GetStringValue()
			}
		}
		digests[digest] = true
	}
	if len(digests) == 0 || digests[""] {
		t.Errorf("the anomalies carry the digests %v", digests)
	}
}

// repeated returns the number of lines that several files, or one, have more than once.
func repeated(t *testing.T, paths ...string) (n int) {
	t.Helper()
	seen := map[string]bool{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if seen[line] {
				n++
			}
			seen[line] = true
		}
	}
	return n
}
