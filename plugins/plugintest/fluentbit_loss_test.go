package plugintest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trailOf puts n files of size events each into the trail, and returns all events and
// what is in which file.
func (s *site) trailOf(n, size int) (all []string, files map[string][]string) {
	s.t.Helper()
	all = numbered(s.t, events(s.t)[0], 0, n*size)
	files = map[string][]string{}
	for i := range n {
		name := fmt.Sprintf("%03d.ndjson", i)
		files[name] = all[i*size : (i+1)*size]
		s.put(name, files[name])
	}
	return all, files
}

// judge holds the checkpoint to what Kafka has: no file is done of which it lacks an
// event. It returns how many files are done.
func (s *site) judge(files map[string][]string) int {
	s.t.Helper()
	names := done(s.t, filepath.Join(s.dir, "state", "in_kms.checkpoint"))
	s.count()
	lost := 0
	for _, name := range names {
		for _, event := range files[name] {
			if s.arrived[callOf(s.t, event)] == 0 {
				lost++
			}
		}
	}
	if lost > 0 {
		s.t.Errorf("%d files are done, and %d of their events are not in Kafka", len(names), lost)
	}
	return len(names)
}

// awaitDone waits until every file is done.
func (s *site) awaitDone(files map[string][]string) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		names := done(s.t, filepath.Join(s.dir, "state", "in_kms.checkpoint"))
		if len(names) == len(files) {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d files are done; Fluent Bit says\n%s", len(names), len(files), s.said())
		}
	}
	s.judge(files)
}

// awaitLog waits until Fluent Bit has said something n times.
func (s *site) awaitLog(text string, n int) {
	s.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		log, err := os.ReadFile(s.log)
		if err == nil && bytes.Count(log, []byte(text)) >= n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("Fluent Bit does not say %q:\n%s", text, s.said())
		}
	}
}

// broker ends the broker or starts it again.
func (s *site) broker(up bool) {
	s.t.Helper()
	if !up {
		s.kafka.Kill(0)
		return
	}
	if err := s.kafka.Launch(0); err != nil {
		s.t.Fatal(err)
	}
	if err := s.kafka.Await(0); err != nil {
		s.t.Fatal(err)
	}
}

// hasty is the example with small chunks, and with a short patience with records that are
// not acknowledged.
func (s *site) hasty(more ...string) string {
	return s.example("fluent-bit.yaml", append(more,
		"      checkpoint:", "      batch_bytes: 1M\n      ack_timeout: 5s\n      poll_interval: 1s\n      checkpoint:")...)
}

// pausedAndKilled: the input is paused while Kafka is away, and both are killed.
func pausedAndKilled(t *testing.T) {
	s := newSite(t)
	config := s.hasty("storage.max_chunks_up: 32", "storage.max_chunks_up: 4")
	s.broker(false)
	all, files := s.trailOf(60, 400)
	s.start(config)
	s.awaitLog("paused (storage buf overlimit", 1)
	time.Sleep(5 * time.Second) // what a clock would have counted
	s.kill()
	if n := len(done(t, filepath.Join(s.dir, "state", "in_kms.checkpoint"))); n != 0 {
		t.Errorf("%d files are done while Kafka has never been there", n)
	}
	s.broker(true)
	s.start(config)
	s.await(len(all) / 2)
	s.kill()
	s.judge(files)
	s.start(config)
	s.awaitAll(all)
	s.awaitDone(files)
	s.stop()
}

// terminated: Fluent Bit is stopped as an operator does while Kafka is away, with chunks
// in memory only, which it drops.
func terminated(t *testing.T) {
	s := newSite(t)
	config := s.hasty("      storage.type: filesystem\n      storage.pause_on_chunks_overlimit: on\n", "", "grace: 20 ", "grace: 6 ", "brokers:", "flush_timeout: 1s\n      brokers:")
	all, files := s.trailOf(10, 300)
	s.start(config)
	s.await(300)
	s.broker(false)
	more := numbered(t, events(t)[0], len(all), 3000)
	files["later.ndjson"] = more
	s.put("later.ndjson", more)
	s.awaitLog("cannot deliver a chunk to Kafka", 1)
	s.stop()
	s.broker(true)
	s.judge(files)
	s.start(config)
	s.awaitAll(append(all, more...))
	s.awaitDone(files)
	s.stop()
}

// retriedOnce: Fluent Bit drops chunks after its default retry_limit, before out_kms could
// take them into its buffer, which is smaller than a chunk.
func retriedOnce(t *testing.T) {
	s := newSite(t)
	s.broker(false)
	all, files := s.trailOf(8, 400)
	s.start(s.hasty("      retry_limit: no_limits\n", "      retry_limit: 1\n      flush_timeout: 500ms\n      buffer_bytes: 1M\n"))
	s.awaitLog("cannot be retried", 1)
	s.judgeNone()
	s.broker(true)
	s.awaitAll(all)
	s.awaitDone(files)
	s.awaitLog("are handed over again", 1)
	s.stop()
}

// judgeNone checks that nothing is done.
func (s *site) judgeNone() {
	s.t.Helper()
	if names := done(s.t, filepath.Join(s.dir, "state", "in_kms.checkpoint")); len(names) != 0 {
		s.t.Errorf("%d files are done, and Kafka was never there", len(names))
	}
}

// fullDisk: the storage has no room for the chunks, on a separate file system where the
// test may mount one, and by total_limit_size, which drops the oldest chunks.
func fullDisk(t *testing.T) {
	t.Run("total_limit_size", func(t *testing.T) {
		s := newSite(t)
		s.broker(false)
		all, files := s.trailOf(40, 400)
		s.start(s.hasty("      retry_limit: no_limits\n", "      retry_limit: no_limits\n      storage.total_limit_size: 4M\n"))
		s.awaitHanded(len(all))
		s.judgeNone()
		s.broker(true)
		s.awaitAll(all)
		s.awaitDone(files)
		s.stop()
	})
	t.Run("tmpfs", func(t *testing.T) {
		s := newSite(t)
		storage := filepath.Join(s.dir, "state", "storage")
		if err := os.Mkdir(storage, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", storage, "tmpfs", 0, "size=4m"); err != nil {
			fmt.Fprintf(os.Stderr, "\nSKIPPED %s: a full disk is NOT tested: cannot mount a tmpfs: %v\n\n", t.Name(), err)
			t.Skip(err)
		}
		t.Cleanup(func() { syscall.Unmount(storage, syscall.MNT_DETACH) })
		s.broker(false)
		all, files := s.trailOf(40, 400)
		s.start(s.hasty())
		s.awaitHanded(len(all) / 2)
		s.judgeNone()
		s.broker(true)
		s.awaitAll(all)
		s.awaitDone(files)
		s.stop()
	})
}

// awaitHanded waits until in_kms has handed n records over.
func (s *site) awaitHanded(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); s.sum("fluentbit_in_kms_handed_over_total") < float64(n); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%v of %d records were handed over:\n%s", s.sum("fluentbit_in_kms_handed_over_total"), n, s.said())
		}
	}
}

// filteredAway: a filter drops records; the others go on, and it is said. With
// unacknowledged set to done they count as done.
func filteredAway(t *testing.T) {
	s := newSite(t)
	all, files := s.trailOf(4, 200)
	dropped := idOf(t, all[333])
	filter := "  filters:\n    - {name: grep, match: kms, exclude: event " + dropped + "}\n\n  outputs:\n"
	s.start(s.hasty("  outputs:\n", filter))
	s.await(len(all) - 1)
	s.awaitLog("1 records, such as of", 1)
	s.judge(files)
	if names := done(t, filepath.Join(s.dir, "state", "in_kms.checkpoint")); strings.Contains(strings.Join(names, " "), "001.ndjson") {
		t.Error("a file is done of which a filter has dropped an event")
	}
	s.stop()
	s.start(s.hasty("  outputs:\n", filter, "ack_path: /var/lib/keytrail/in_kms.ack\n      storage.type", "unacknowledged: done\n      ack_path: /var/lib/keytrail/in_kms.ack\n      storage.type"))
	for deadline := time.Now().Add(2 * time.Minute); len(done(t, filepath.Join(s.dir, "state", "in_kms.checkpoint"))) < 4; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the loss is not accepted:\n%s", s.said())
		}
	}
	s.stop()
}

// script: a filter in Lua, which rebuilds each record, leaves the acknowledgements working.
func script(t *testing.T) {
	s := newSite(t)
	all, files := s.trailOf(4, 200)
	filter := "  filters:\n    - name: lua\n      match: kms\n      call: f\n      code: |\n" +
		"        function f(tag, time, record)\n          record['seen'] = 'yes'\n          return 1, time, record\n        end\n\n  outputs:\n"
	s.start(s.hasty("  outputs:\n", filter))
	s.awaitAll(all)
	s.awaitDone(files)
	s.stop()
}
