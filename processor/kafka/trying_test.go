package kafka

import (
	"testing"
	"time"
)

// TestTrying checks that failing sessions end the stage if nothing answers for GiveUp, or
// if the group answers but nothing commits for that long. A commit, a session that
// succeeded for that long, or one that was idle and answered for a while restarts the
// clock.
func TestTrying(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	type session struct {
		began, ended, good, commits int // seconds; good -1 for none
		calm                        int // seconds; -1 for a refused transaction
	}
	for name, c := range map[string]struct {
		sessions []session
		want     string // of the last one
	}{
		"no answer":                     {[]session{{0, 5, -1, 0, -1}, {6, 11, -1, 0, -1}}, "no progress for 11s"},
		"an answer":                     {[]session{{0, 5, 4, 0, -1}, {6, 11, 10, 0, -1}}, ""},
		"answers and no commit":         {[]session{{0, 3, 2, 0, -1}, {4, 7, 6, 0, -1}, {8, 11, 10, 0, -1}, {12, 15, 14, 0, -1}}, "no transaction has succeeded for 12s"},
		"a commit between":              {[]session{{0, 3, 2, 0, -1}, {4, 7, 6, 0, -1}, {8, 11, 10, 1, -1}, {12, 15, 14, 0, -1}}, ""},
		"commits, then none":            {[]session{{0, 3, 2, 9, -1}, {4, 7, 6, 0, -1}, {8, 14, 13, 0, -1}}, "no transaction has succeeded for 11s"},
		"idle for long, then a failure": {[]session{{0, 3, 2, 0, -1}, {4, 900, 899, 0, -1}, {901, 903, 902, 0, -1}}, ""},
		"idle while brokers restart":    {[]session{{0, 3, 2, 0, 2}, {4, 7, 6, 0, 2}, {8, 11, 10, 0, 2}, {12, 15, 14, 0, 2}}, ""},
		"can not read":                  {[]session{{0, 4, 3, 0, 1}, {4, 8, 7, 0, 0}, {8, 12, 11, 0, 1}, {12, 16, 15, 0, 0}}, "no transaction has succeeded for 12s"},
	} {
		tr := trying{giveUp: 10 * time.Second, good: start}
		for i, s := range c.sessions {
			good := time.Time{}
			if s.good >= 0 {
				good = at(s.good)
			}
			got := tr.failed(at(s.began), at(s.ended), ended{good, s.commits, max(0, time.Duration(s.calm)) * time.Second, s.calm < 0})
			if last := i == len(c.sessions)-1; last && got != c.want || !last && got != "" {
				t.Errorf("%s: after session %d %q, want %q at the end", name, i, got, c.want)
			}
		}
	}
}
