package plugintest

import (
	"fmt"
	"os"
	"path/filepath"
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
