package plugintest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// splitByScript: a filter in Lua makes two events of each. Both arrive, and the files are done.
func splitByScript(t *testing.T) {
	s := newSite(t)
	all, files := s.trailOf(4, 200)
	var both []string
	for _, event := range all {
		both = append(both, event, strings.Replace(event, idOf(t, event), "f"+idOf(t, event)[1:], 1))
	}
	filter := `  filters:
    - name: lua
      match: kms
      call: f
      code: |
        function f(tag, time, record)
          local second = {}
          for k, v in pairs(record) do second[k] = v end
          second['event'] = string.gsub(record['event'], '("eventID": ")%w', '%1f')
          return 1, time, {record, second}
        end

  outputs:
`
	s.start(s.hasty("  outputs:\n", filter))
	s.awaitAll(both)
	s.awaitDone(files)
	s.stop()
}

// slowKafka: while Kafka does not answer, the flushes of out_kms wait and hold nothing else
// up, although they have no workers: another output goes on meanwhile. All of them have one
// timer.
func slowKafka(t *testing.T) {
	s := newSite(t)
	all, files := s.trailOf(20, 400)
	config := s.hasty("  outputs:\n", "    - {name: dummy, tag: beat, rate: 10, dummy: '{\"beat\":1}'}\n\n  outputs:\n    - {name: file, match: beat, path: /var/lib/keytrail, file: beats, format: plain}\n",
		"brokers:", "flush_timeout: 30s\n      brokers:")
	s.broker(false)
	s.start(config)
	s.awaitHanded(1)
	beats := func() int {
		text, _ := os.ReadFile(s.dir + "/state/beats")
		return strings.Count(string(text), "\n")
	}
	// A flush that blocked would hold them up for its 30 s.
	for before, deadline := beats(), time.Now().Add(20*time.Second); beats() < before+30; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d beats while Kafka is away, want %d\n%s", beats()-before, 30, s.said())
		}
	}
	s.judgeNone()
	waiting := s.timers()
	s.broker(true)
	s.awaitAll(all)
	s.awaitDone(files)
	if rest := s.timers(); waiting > rest+1 {
		t.Errorf("%d timers while flushes wait, and %d at rest, want one more at most", waiting, rest)
	}
	s.stop()
}

// timers returns how many timers of the kernel Fluent Bit has.
func (s *site) timers() (n int) {
	dir := fmt.Sprintf("/proc/%d/fd", s.process.Process.Pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fd := range list {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == "anon_inode:[timerfd]" {
			n++
		}
	}
	return n
}

// growthSlack is by how much more than Fluent Bit's own plugins both may grow in 350
// reloads. Memory grows in steps of up to 400 KiB at any time, such as for a thread that Go
// starts when it finds all others busy, and stands still in between: 800 reloads took 512
// KiB, and 600 KiB with tail and null. A leak of 3 KiB per reload is above the slack.
const growthSlack = 768 << 10

// growth: the memory of both plugins grows by reloads no more than that of tail and null.
func growth(t *testing.T) {
	s := newSite(t)
	other := *s // with the same Kafka
	other.dir = t.TempDir()
	for _, d := range []string{"trail", "state"} {
		if err := os.Mkdir(other.dir+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(other.kill)
	s.put("a.ndjson", numbered(t, events(t)[0], 0, 100))
	s.start(s.hasty("service:\n", "service:\n  hot_reload: on\n", "  http_server: on", "  http_server: off"), "-Y")
	other.start(other.write("tail.yaml", `
service: {flush: 0.2, grace: 20, hot_reload: on, storage.path: /var/lib/keytrail/storage}
pipeline:
  inputs: [{name: tail, tag: t, path: /var/trail/*.ndjson, db: /var/lib/keytrail/db, storage.type: filesystem}]
  outputs: [{name: 'null', match: t}]
`), "-Y")
	s.await(100)
	var ours, theirs []int64
	for range 400 {
		mine, its := s.hangUp(), other.hangUp()
		s.awaitReload(mine)
		other.awaitReload(its)
		ours, theirs = append(ours, s.memory("RssAnon")), append(theirs, other.memory("RssAnon"))
	}
	// The least of ten: it goes up and down by what is free.
	grown := func(list []int64, to int) int64 { return slices.Min(list[to-10:to]) - slices.Min(list[40:50]) }
	for _, to := range []int{200, 400} {
		t.Logf("from reload 50 to reload %d: both plugins %+d KiB, tail and null %+d KiB", to, grown(ours, to)>>10, grown(theirs, to)>>10)
	}
	if grown(ours, 400) > max(0, grown(theirs, 400))+growthSlack {
		t.Errorf("the plugins leak: %v\ntail and null: %v", ours, theirs)
	}
	s.stop()
	other.stop()
}
