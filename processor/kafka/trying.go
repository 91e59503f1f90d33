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

// ended is what became of a session that failed.
type ended struct {
	good    time.Time     // of the last proof that Kafka is there; zero without any
	commits int           // transactions that were committed
	calm    time.Duration // between the first and the last time that there was nothing to commit
	refused bool          // a transaction that had something was not committed
}

// failed takes in a session that failed, and returns why to give up, or "".
func (t *trying) failed(began, now time.Time, s ended) string {
	if s.good.After(t.good) {
		t.good = s.good
	}
	// Where nothing is to do there is nothing to commit, and the group's coordinator has
	// answered for a while. Brokers that are restarted one after another would otherwise
	// end a stage that is idle.
	idle := !s.refused && s.calm > t.giveUp/10
	if s.commits > 0 || idle || t.failing.IsZero() || now.Sub(began) > t.giveUp {
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
