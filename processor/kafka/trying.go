package kafka

import (
	"fmt"
	"time"
)

// trying decides when a stage has failed for too long.
type trying struct {
	giveUp  time.Duration
	good    time.Time // the last proof that Kafka answers
	failing time.Time // since when sessions fail without a commit; zero after a success
}

// ended summarizes a failed session.
type ended struct {
	good    time.Time     // of the last proof that Kafka answers; zero without any
	commits int           // committed transactions
	calm    time.Duration // from the first to the last time without anything to commit
	refused bool          // a transaction with records failed to commit
}

// failed takes in a failed session, and returns why to give up, or "".
func (t *trying) failed(began, now time.Time, s ended) string {
	if s.good.After(t.good) {
		t.good = s.good
	}
	// An idle stage has nothing to commit, but the group's coordinator has answered for a
	// while. Without this rule, a rolling restart of the brokers would end an idle stage.
	idle := !s.refused && s.calm > t.giveUp/10
	if s.commits > 0 || idle || t.failing.IsZero() || now.Sub(began) > t.giveUp {
		t.failing = now
	}
	// The group may be healthy although no transaction can commit: a topic without write
	// access, a refused record.
	if d := now.Sub(t.good); d > t.giveUp {
		return fmt.Sprintf("no progress for %v", d.Round(time.Second))
	}
	if d := now.Sub(t.failing); d > t.giveUp {
		return fmt.Sprintf("no transaction has succeeded for %v", d.Round(time.Second))
	}
	return ""
}
