package cli_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// sourceConfig is a source that reads the folder and has the checkpoint.
const sourceConfig = "sources:\n  - {name: trail, type: file, path: %q, checkpoint: %q, poll_interval: 50ms, readers: 2}\n"

// A process that reads a folder is killed at random times: no event is lost, and the counts
// are exact. The other stages are another process, so that no test waits until Kafka gives a
// killed member's partitions to the next.
func TestRunSourceKilled(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 61, 2500)
	folder, state := t.TempDir(), t.TempDir()
	checkpoint := filepath.Join(state, "trail.checkpoint")
	config := b.config(t, fileSink, fmt.Sprintf(sourceConfig, folder, checkpoint))
	random := rand.New(rand.NewPCG(61, 61))
	next := 0
	deliver := func(n int) { // files of up to 40 events, as CloudTrail delivers them
		for ; n > 0 && next < len(tr.records); n-- {
			end := min(next+1+random.IntN(40), len(tr.records))
			writeFile(t, filepath.Join(folder, fmt.Sprintf("%06d.json.gz", next)), tr.records[next:end])
			next = end
		}
	}
	rest := run(t, config, inTemp(t, "archive.ndjson"), "--stages", "normalize,count,detect,forward")
	rest.ready(t)
	for range 6 {
		p := run(t, config, "unused", "--stages", "collect")
		p.ready(t)
		deliver(8)
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
		p.signal(t, syscall.SIGKILL)
		p.code(t)
	}
	p := run(t, config, "unused", "--stages", "collect")
	p.ready(t)
	deliver(len(tr.records))
	writeFile(t, filepath.Join(folder, "closer.json.gz"), tr.closer)
	b.equals(t, tr.want)
	// The checkpoint is locked: a second process says what to do.
	second := run(t, config, "unused", "--stages", "collect")
	outcome{second.code(t), "", second.stderr.String()}.wants(t, 1, `source "trail"`, "another reader uses this checkpoint",
		"--stages normalize,count")
	p.stop(t, syscall.SIGTERM)
	rest.stop(t, syscall.SIGTERM)
	// After a graceful stop everything is in the checkpoint: nothing is published again.
	before := len(b.committed(t, "kms.events").records)
	again := run(t, config, "unused", "--stages", "collect")
	again.ready(t)
	writeFile(t, filepath.Join(folder, "last.json.gz"), [][]byte{tr.closer[0]})
	until(t, "the last file is published", func() bool { return len(b.committed(t, "kms.events").records) > before })
	again.stop(t, syscall.SIGTERM)
	if n := len(b.committed(t, "kms.events").records); n != before+1 {
		t.Errorf("%d records are published after the restart, want 1", n-before)
	}
}

// One process that runs all stages and reads a folder itself is killed at random times, also
// while it starts or restores its state, or within a transaction: the counts equal the oracle's, and every event
// reaches the sink.
func TestRunSourceAllKilled(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 71, 3000)
	folder, archive := t.TempDir(), inTemp(t, "archive.ndjson")
	config := b.config(t, fileSink, fmt.Sprintf(sourceConfig, folder, filepath.Join(t.TempDir(), "trail.checkpoint")))
	random := rand.New(rand.NewPCG(71, 71))
	next, kills, within := 0, 10, 0
	for kill := range kills {
		p := run(t, config, archive)
		for end := len(tr.records) * (kill + 1) / (kills + 1); next < end; {
			to := min(next+1+random.IntN(80), end)
			writeFile(t, filepath.Join(folder, fmt.Sprintf("%06d.json.gz", next)), tr.records[next:to])
			next = to
		}
		if kill%3 == 2 {
			p.ready(t)
			for i := 0; i < 500 && b.undecided(t, "kms.partials", "kms.windows", "kms.state") == ""; i++ {
			} // then it may be within a transaction
		} else {
			time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		}
		p.signal(t, syscall.SIGKILL)
		if code := p.code(t); code != -1 {
			t.Fatalf("exit code %d of a killed process", code)
		}
		if b.undecided(t, "kms.partials", "kms.windows", "kms.state") != "" {
			within++
		}
		b.evict(t, "keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive")
	}
	p := run(t, config, archive)
	p.ready(t)
	writeFile(t, filepath.Join(folder, "rest.json.gz"), tr.records[next:])
	writeFile(t, filepath.Join(folder, "z.json.gz"), tr.closer)
	b.equals(t, tr.want)
	t.Logf("%d of %d kills left a transaction open", within, kills)
	until(t, "every event is in the file", func() bool { return archived(t, archive).missing(tr) == "" })
	p.stop(t, syscall.SIGTERM)
	wholeLines(t, archive)
}

// writeFile puts a whole file of CloudTrail into a folder at once.
func writeFile(t *testing.T, path string, records [][]byte) {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	fmt.Fprintf(zip, `{"Records":[%s]}`, bytes.Join(records, []byte(",")))
	zip.Close()
	temporary := filepath.Join(filepath.Dir(path), ".part")
	if err := os.WriteFile(temporary, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}

func TestRunSourceRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "x.checkpoint")
	config := write(t, inTemp(t, "k.yaml"), "kafka: {brokers: [\"127.0.0.1:1\"]}\n"+fmt.Sprintf(sourceConfig, t.TempDir(), missing))
	keytrail(t, nil, "run", "-c", config).wants(t, 1, `source "trail"`, "must exist and be writable")
}
