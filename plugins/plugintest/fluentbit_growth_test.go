package plugintest

import (
	"os"
	"slices"
	"testing"
)

// growthSlack is by how much more than Fluent Bit's own plugins both may grow from reload 50
// to reload 200. Equal runs differ by 70 KiB, and one thread of Go is 88 KiB. A leak of
// 1 KiB per reload is above the slack.
const growthSlack = 128 << 10

// growth: the memory of both plugins grows by reloads no more than that of tail and null.
// It compares the medians of three runs of each. All use one arena of the C library: with
// more, tail and null alone differ by 600 KiB between equal runs.
func growth(t *testing.T) {
	first := newSite(t)
	t.Setenv("MALLOC_ARENA_MAX", "1")
	both, native := first.siblings(3), first.siblings(3)
	for _, s := range both {
		s.put("a.ndjson", numbered(t, events(t)[0], 0, 100))
		s.start(s.hasty("service:\n", "service:\n  hot_reload: on\n", "  http_server: on", "  http_server: off"), "-Y")
	}
	for _, s := range native {
		s.put("a.ndjson", numbered(t, events(t)[0], 0, 100))
		s.start(s.write("tail.yaml", `
service: {flush: 0.2, grace: 20, hot_reload: on, storage.path: /var/lib/keytrail/storage}
pipeline:
  inputs: [{name: tail, tag: t, path: /var/trail/*.ndjson, db: /var/lib/keytrail/db, storage.type: filesystem}]
  outputs: [{name: 'null', match: t}]
`), "-Y")
	}
	first.await(100)
	all := slices.Concat(both, native)
	used := make([][]int64, len(all)) // by site and reload
	for range 200 {
		done := make([]int, len(all))
		for i, s := range all {
			done[i] = s.hangUp()
		}
		for i, s := range all {
			s.awaitReload(done[i])
			used[i] = append(used[i], s.memory("RssAnon"))
		}
	}
	var grown []int64
	for _, list := range used {
		// The least of ten: it goes up and down by what is free.
		grown = append(grown, slices.Min(list[190:200])-slices.Min(list[40:50]))
	}
	t.Logf("growth from reload 50 to reload 200, bytes: both plugins %v, tail and null %v", grown[:3], grown[3:])
	slices.Sort(grown[:3])
	slices.Sort(grown[3:])
	if grown[1] > grown[4]+growthSlack {
		t.Errorf("the plugins leak: %v", used)
	}
	for _, s := range all {
		s.stop()
	}
}

// siblings returns n more sites with the same Kafka.
func (s *site) siblings(n int) (list []*site) {
	for range n {
		other := *s
		other.dir = s.t.TempDir()
		for _, d := range []string{"trail", "state"} {
			if err := os.Mkdir(other.dir+"/"+d, 0o755); err != nil {
				s.t.Fatal(err)
			}
		}
		s.t.Cleanup(other.kill)
		list = append(list, &other)
	}
	return list
}
