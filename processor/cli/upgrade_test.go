package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	segmentio "github.com/segmentio/kafka-go"

	"keytrail/processor/internal/module"
	"keytrail/schemas/wire"
)

// upgradeVariable names the commit from which TestUpgrade upgrades: make upgrade-test sets it.
const upgradeVariable = "KEYTRAIL_UPGRADE_FROM"

// base builds the keytrail of the commit, without touching the working tree, and returns its
// path and the number of its format.
func base(t *testing.T) (path string, format int) {
	t.Helper()
	commit := os.Getenv(upgradeVariable)
	if commit == "" {
		t.Skip("NOT TESTED: the upgrade from an earlier commit; make upgrade-test runs it")
	}
	root, err := module.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path = filepath.Join(dir, "keytrail")
	for _, command := range [][]string{
		{"git", "-C", root, "archive", "--format=tar", "-o", path + ".tar", commit},
		{"tar", "-x", "-C", dir, "-f", path + ".tar"},
		{"go", "-C", dir, "build", "-buildvcs=false", "-o", path, "."},
	} {
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", command, err, said)
		}
	}
	text, err := exec.Command(path, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var version struct{ Format int }
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&version); err != nil {
		t.Fatal(err)
	}
	t.Logf("commit %s has format %d, this tree %d", commit, version.Format, wire.FormatVersion)
	return path, version.Format
}

// TestUpgrade: two processes of an earlier commit are replaced by this tree's one after the
// other, and then replaced back, by SIGTERM and by SIGKILL, while calls arrive. The counts
// equal the oracle's. If the commit has another format, docs/operations.md says to stop all
// processes and start over, and that is what the test does instead.
func TestUpgrade(t *testing.T) {
	old, format := base(t)
	b, tr := startBroker(t), newTrail(t, 81, 4000)
	config := b.config(t, fileSink)
	dir, n, sent := t.TempDir(), 0, 0
	var archives []string
	begin := func(program string) *process {
		t.Helper()
		n++
		archives = append(archives, filepath.Join(dir, fmt.Sprint(n, ".ndjson")))
		p := startProgram(t, program, []string{"ARCHIVE=" + archives[n-1]}, "run", "-c", config)
		p.ready(t)
		return p
	}
	send := func(parts int) { // one of so many parts of the trail
		t.Helper()
		end := min(len(tr.records), sent+(len(tr.records)+parts-1)/parts)
		b.produce(t, tr.records[sent:end])
		sent = end
	}
	if format != wire.FormatVersion {
		p := begin(old)
		send(2)
		p.stop(t, syscall.SIGTERM)
		b.startOver(t)
		p = begin(program)
		send(2)
		b.produce(t, tr.closer)
		b.equals(t, tr.want)
		p.stop(t, syscall.SIGTERM)
		return
	}
	first, second := begin(old), begin(old)
	send(6)
	for _, next := range []string{program, old} {
		first.stop(t, syscall.SIGTERM)
		first = begin(next)
		send(6) // to one process of each
		b.shared(t)
		send(6)
		second.signal(t, syscall.SIGKILL)
		second.code(t)
		b.evict(t, "keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive")
		second = begin(next)
		b.shared(t)
		send(6)
	}
	send(1)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the files together have everything", func() bool { return archived(t, present(archives)...).missing(tr) == "" })
	first.stop(t, syscall.SIGTERM)
	second.stop(t, syscall.SIGTERM)
	if letters := b.committedValues(t, "kms.deadletter"); letters != 0 {
		t.Errorf("%d dead letters, want none", letters)
	}
}

// present returns the files that exist: a process that had no partition of a sink wrote none.
func present(paths []string) (list []string) {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			list = append(list, path)
		}
	}
	return list
}

// shared waits until two processes share stages count and detect.
func (b *broker) shared(t *testing.T) {
	t.Helper()
	until(t, "two processes share the partitions", func() bool {
		for _, group := range []string{"keytrail-count", "keytrail-detect"} {
			if members, stable := b.group(t, group); !stable || len(members) != 2 {
				return false
			}
		}
		return true
	})
}

// TestRestoreFromTopics: all processes are killed, their disks are lost, with the checkpoint
// of the source, and so are the offsets of all consumer groups. From the topics alone the
// counts become the oracle's.
func TestRestoreFromTopics(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 83, 2500)
	folder, disk := t.TempDir(), t.TempDir()
	begin := func() *process {
		config := b.config(t, fileSink, fmt.Sprintf(sourceConfig, folder, filepath.Join(disk, "trail.checkpoint")))
		p := run(t, config, filepath.Join(disk, "archive.ndjson"))
		p.ready(t)
		return p
	}
	half := len(tr.records) / 2
	writeFile(t, filepath.Join(folder, "1.json.gz"), tr.records[:half])
	p := begin()
	until(t, "windows are published", func() bool { return len(b.committed(t, "kms.windows").records) > 0 })
	p.signal(t, syscall.SIGKILL)
	p.code(t)
	disk = t.TempDir()
	groups := []string{"keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive"}
	b.evict(t, groups...)
	b.deleteGroups(t, groups...)
	writeFile(t, filepath.Join(folder, "2.json.gz"), tr.records[half:])
	writeFile(t, filepath.Join(folder, "3.json.gz"), tr.closer)
	p = begin()
	b.equals(t, tr.want)
	until(t, "every event is in the new file", func() bool {
		return archived(t, filepath.Join(disk, "archive.ndjson")).missing(tr) == ""
	})
	p.stop(t, syscall.SIGTERM)
	if strings.Contains(p.stderr.String(), "level=ERROR") {
		t.Error("an error was logged")
	}
}

// deleteGroups deletes consumer groups with their offsets.
func (b *broker) deleteGroups(t *testing.T, names ...string) {
	t.Helper()
	answer, err := b.client.DeleteGroups(t.Context(), &segmentio.DeleteGroupsRequest{GroupIDs: names})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range answer.Errors {
		if err != nil {
			t.Fatalf("group %s: %v", name, err)
		}
	}
}

// startOver does what docs/operations.md says under "Starting over".
func (b *broker) startOver(t *testing.T) {
	t.Helper()
	b.deleteGroups(t, "keytrail-count", "keytrail-detect")
	topics, err := b.client.DeleteTopics(t.Context(), &segmentio.DeleteTopicsRequest{
		Topics: []string{"kms.partials", "kms.dedup", "kms.state", "kms.windows"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range topics.Errors {
		if err != nil {
			t.Fatalf("topic %s: %v", name, err)
		}
	}
}

// committedValues returns the number of records below the high watermarks of a topic that
// nobody writes in transactions.
func (b *broker) committedValues(t *testing.T, topic string) (n int64) {
	t.Helper()
	for p := range b.partitions(t, topic) {
		n += b.fetch(t, topic, p, 0, 1).HighWatermark
	}
	return n
}
