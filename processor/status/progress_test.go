package status

import (
	"testing"
	"time"
)

// commits returns commits of every second, the last one ago seconds before the time 1000, with
// pairs of offset and lag.
func commits(ago int64, pairs ...int64) (list []Commit) {
	n := int64(len(pairs) / 2)
	for i := range n {
		list = append(list, Commit{At: time.Unix(1000-ago-3*(n-1-i), 0), Offset: pairs[2*i], Lag: pairs[2*i+1]})
	}
	return list
}

// TestJudge has a case per rule of Burrow, and one beside each.
func TestJudge(t *testing.T) {
	now := time.Unix(1000, 0)
	slow := []int64{10, 5, 20, 6, 30, 6, 40, 7, 50, 7, 60, 8, 70, 8, 80, 8, 90, 9, 100, 10}
	still := []int64{10, 5, 10, 5, 10, 6, 10, 7, 10, 7, 10, 8, 10, 8, 10, 8, 10, 9, 10, 10}
	for _, c := range []struct {
		name    string
		commits []Commit
		ends    []int64
		lag     int64
		want    Progress
	}{
		{"nothing known", nil, nil, 9, OK},
		{"no lag now", commits(500, still...), nil, 0, OK},
		{"too young to judge", commits(1, 10, 5, 10, 6, 10, 7), nil, 7, OK},
		{"the lag was zero once", commits(3, append([]int64{5, 0}, still[:18]...)...), nil, 9, OK},
		{"the position went back", commits(3, append([]int64{200, 1}, slow[:18]...)...), nil, 9, Rewind},
		{"it commits the same position", commits(3, still...), nil, 10, Stall},
		{"the lag grows or stays", commits(3, slow...), nil, 10, Warning},
		{"the lag shrank once", commits(3, append(slow[:18:18], 100, 1)...), nil, 1, OK},
		{"no commit for longer than the window took", commits(28, slow...), nil, 10, Stop},
		{"a little less long", commits(27, slow...), nil, 10, Warning},
		{"one commit, long ago", commits(31, 10, 5), nil, 5, Stop},
		{"it stopped although it had no lag once", commits(500, 5, 0, 10, 5), []int64{90, 95}, 85, Stop},
		{"it had read everything, and something new has just come", commits(500, 5, 3, 10, 0), []int64{10, 10, 12}, 2, OK},
	} {
		if got := Judge(c.commits, c.ends, c.lag, 0, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for ago, want := range map[int64]Progress{87: Warning, 88: Stop} { // the commits took 27 s
		if got := Judge(commits(ago, slow...), nil, 10, time.Minute, now); got != want {
			t.Errorf("with patience, the last commit %d s ago: %s, want %s", ago, got, want)
		}
	}
}

func TestWorst(t *testing.T) {
	if Worst() != OK || Worst(Warning, OK) != Warning || Worst(Stall, Stop, Rewind) != Stop {
		t.Errorf("the worst are %s, %s, %s", Worst(), Worst(Warning, OK), Worst(Stall, Stop, Rewind))
	}
}

// TestTracker follows a consumer that reads, hangs, and loses the partition.
func TestTracker(t *testing.T) {
	var tr Tracker
	at := Place{"kms.events", 3}
	now := time.Unix(0, 0)
	look := func(position, end int64, commits bool) {
		now = now.Add(3 * time.Second)
		committed := time.Time{}
		if commits {
			committed = now
		}
		tr.Saw(map[Place]Look{at: {position, end, committed}})
	}
	want := func(what string, p Progress) {
		t.Helper()
		if got := tr.Judge(at, now); got != p {
			t.Errorf("%s: %s, want %s", what, got, p)
		}
	}
	for i := range int64(30) {
		look(10*i, 10*i, true)
		want("it keeps up", OK)
	}
	for range 30 {
		look(290, 290, false)
		want("nothing comes and nothing is committed", OK)
	}
	look(290, 300, false)
	want("the first record after a pause", OK)
	for range 10 {
		look(290, 301, false)
	}
	want("it does not commit", Stop)
	for i := range int64(11) {
		look(290, 302+i, true)
	}
	want("it commits, but gets nowhere", Stall)
	for i := range int64(11) {
		look(291+i, 400+2*i, true)
	}
	want("it is too slow", Warning)
	look(295, 430, true)
	want("it went back", Rewind)
	tr.Saw(map[Place]Look{})
	want("the partition is gone", OK)
	look(0, 1000, true)
	want("it is back, and nothing is known", OK)
	if n := len(tr.of[at].commits); n != 1 {
		t.Errorf("%d commits of the time before are kept", n-1)
	}
}
