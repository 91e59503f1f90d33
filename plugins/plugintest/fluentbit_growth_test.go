package plugintest

import (
	"os"
	"slices"
	"testing"
)

// growthSlack is by how much more than Fluent Bit's own plugins both may grow from reload 50
// to reload 200. In default arenas 33 runs of tail and null grew by 44 KiB in the median,
// but by -400 to 552 KiB, because an arena of Fluent Bit's threads is 370 KiB larger or
// smaller by chance. The medians of groups of three to nine runs were from -328 to 232 KiB.
// Both plugins grew by 196 KiB in the median of 17 runs, from 24 to 324 KiB. A leak of 2 KiB
// per reload is above the slack.
const growthSlack = 256 << 10

// growthRuns is how many runs of each have their medians compared.
const growthRuns = 9

// growth: the memory of both plugins grows by reloads no more than that of tail and null, in
// the environment that users have.
func growth(t *testing.T) {
	first := newSite(t)
	for _, name := range []string{"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"} {
		t.Setenv(name, "") // which restores it
		os.Unsetenv(name)
	}
	both, native := first.siblings(growthRuns), first.siblings(growthRuns)
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
	ours, theirs := grown[:growthRuns], grown[growthRuns:]
	slices.Sort(ours)
	slices.Sort(theirs)
	t.Logf("growth from reload 50 to reload 200, bytes: both plugins %v, tail and null %v", ours, theirs)
	if ours[growthRuns/2] > theirs[growthRuns/2]+growthSlack {
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
