package kafka

import (
	"fmt"
	"time"
)

// trying decides when failing sessions are enough.
type trying struct {
	giveUp  time.Duration
	good    time.Time // the last proof that Kafka is there
	failing time.Time // since when sessions fail without a commit in any of them; zero when the last did not
}

// failed takes in a session that failed, and returns why to give up, or "".
func (t *trying) failed(began, now, good time.Time, commits int) string {
	if good.After(t.good) {
		t.good = good
	}
	if commits > 0 || t.failing.IsZero() || now.Sub(began) > t.giveUp {
		t.failing = now
	}
	// The group may be well, and yet no transaction can be committed: a topic that may not
	// be written, a record that is refused.
	if d := now.Sub(t.good); d > t.giveUp {
		return fmt.Sprintf("no progress for %v", d.Round(time.Second))
	}
	if d := now.Sub(t.failing); d > t.giveUp {
		return fmt.Sprintf("no transaction has succeeded for %v", d.Round(time.Second))
	}
	return ""
}
