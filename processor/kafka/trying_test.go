package kafka

import (
	"testing"
	"time"
)

// TestTrying: sessions that fail end the stage when nothing answers for GiveUp, and also
// when the group answers and yet nothing was committed for that long; a commit, or a
// session that went well for that long, begins the time anew, and so does one that had
// nothing to commit and answers for a while.
func TestTrying(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	type session struct {
		began, ended, good, commits int // seconds; good -1 for none
		idle                        bool
	}
	for name, c := range map[string]struct {
		sessions []session
		want     string // of the last one
	}{
		"no answer":                     {[]session{{0, 5, -1, 0, false}, {6, 11, -1, 0, false}}, "no progress for 11s"},
		"an answer":                     {[]session{{0, 5, 4, 0, false}, {6, 11, 10, 0, false}}, ""},
		"answers and no commit":         {[]session{{0, 3, 2, 0, false}, {4, 7, 6, 0, false}, {8, 11, 10, 0, false}, {12, 15, 14, 0, false}}, "no transaction has succeeded for 12s"},
		"a commit between":              {[]session{{0, 3, 2, 0, false}, {4, 7, 6, 0, false}, {8, 11, 10, 1, false}, {12, 15, 14, 0, false}}, ""},
		"commits, then none":            {[]session{{0, 3, 2, 9, false}, {4, 7, 6, 0, false}, {8, 14, 13, 0, false}}, "no transaction has succeeded for 11s"},
		"idle for long, then a failure": {[]session{{0, 3, 2, 0, false}, {4, 900, 899, 0, false}, {901, 903, 902, 0, false}}, ""},
		"idle while brokers restart":    {[]session{{0, 3, 2, 0, true}, {4, 7, 6, 0, true}, {8, 11, 10, 0, true}, {12, 15, 14, 0, true}}, ""},
		"can not read":                  {[]session{{0, 4, 0, 0, true}, {4, 8, 4, 0, true}, {8, 12, 8, 0, true}, {12, 16, 12, 0, true}}, "no transaction has succeeded for 12s"},
	} {
		tr := trying{giveUp: 10 * time.Second, good: start}
		for i, s := range c.sessions {
			good := time.Time{}
			if s.good >= 0 {
				good = at(s.good)
			}
			got := tr.failed(at(s.began), at(s.ended), ended{good, s.commits, !s.idle})
			if last := i == len(c.sessions)-1; last && got != c.want || !last && got != "" {
				t.Errorf("%s: after session %d %q, want %q at the end", name, i, got, c.want)
			}
		}
	}
}
