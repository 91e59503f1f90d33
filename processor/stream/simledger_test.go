package stream

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// lifeChanges are operations that change the life cycle of a key.
var lifeChanges = []string{"EnableKey", "CreateGrant", "RetireGrant", "ScheduleKeyDeletion", "CancelKeyDeletion", "UpdateAlias"}

// lifeOf returns what the record of such an operation says about the n-th grant or alias.
func lifeOf(op string, n int) string {
	switch op {
	case "CreateGrant":
		return fmt.Sprintf(`,"requestParameters":{"granteePrincipal":"x%d"},"responseElements":{"grantId":"g%d"}`, n, n)
	case "RetireGrant":
		return fmt.Sprintf(`,"additionalEventData":{"grantId":"g%d"}`, n)
	case "UpdateAlias":
		return fmt.Sprintf(`,"requestParameters":{"aliasName":"alias/moving%d"}`, n)
	}
	return `,"requestParameters":{}`
}

// ledger checks that stage detect's ledgers, restored from the changelog, equal that of all
// records, copies and late calls included, and that what it has published is their state.
func (s *sim) ledger() {
	want, got := keyledger.New(), keyledger.New()
	var c count.Call
	var e keyledger.Event
	rec := &otellog.Record{}
	for partition, l := range s.b.logs[s.p.Topics.Events] {
		for offset := range int64(l.stable()) {
			it := s.load.written[partition][offset]
			_, taken := s.looked[partition][offset]
			if r := s.b.fetch(l, int(offset)); r == nil || it.json == nil || !taken || it.time > s.now+100*24*3600*second {
				continue
			} else if err := rec.Decode(r.Value); err != nil {
				s.fault("%v", err)
			}
			count.FromRecord(rec, &c)
			keyledger.FromRecord(rec, &c, &e)
			want.Apply(&e)
		}
	}
	got.Watch()
	s.read(s.p.Topics.State, func(r *kgo.Record) {
		if keyledger.IsStateKey(string(r.Key)) {
			if err := got.Restore(string(r.Key), r.Value); err != nil {
				s.fault("%v", err)
			}
		}
	})
	if g, w := dumped(got), dumped(want); g != w {
		s.fault("the ledger is\n%s, want\n%s", g, w)
	}
	s.published(want, got)
}

func dumped(l *keyledger.Ledger) string {
	var b strings.Builder
	l.All(func(k *keyledger.Key) bool {
		text, err := json.Marshal(k)
		fmt.Fprintln(&b, string(text), err, l.StoreOf(k))
		return true
	})
	return b.String()
}

// published compares the last records of kms.keys with the ledger, except those of keys
// whose publication is due in the next hour.
func (s *sim) published(want, got *keyledger.Ledger) {
	uids := map[string]string{}
	var rec otellog.Record
	s.read(s.p.Topics.Keys, func(r *kgo.Record) {
		if err := rec.Decode(r.Value); err != nil {
			s.fault("a ledger record: %v", err)
		}
		uids[strings.Clone(rec.Str(semconv.AWSKMSKeyARN))] = strings.Clone(rec.Str(semconv.LogRecordUID))
		s.stats["published ledgers"]++
	})
	due, most := map[string]bool{}, 1<<30
	deadlines := keyledger.Deadlines{}
	for now := s.now / second; now < s.now/second+3*3600; now += 3600 {
		got.Advance(now, &deadlines, true, &most, func(n *keyledger.News) { due[n.Key.Name] = true })
	}
	want.All(func(k *keyledger.Key) bool {
		k.Record(&rec, k.State(s.now/second, want.StoreOf(k)), 0)
		switch uid := uids[k.Name]; {
		case due[k.Name]:
			s.stats["ledgers due"]++
		case uid != rec.Str(semconv.LogRecordUID):
			s.fault("the ledger of %s was published as %q, and is %q", k.Name, uid, rec.Str(semconv.LogRecordUID))
		}
		return true
	})
}

// alarms checks that the last record of each alarm of a ledger shows it as open exactly if
// stage detect holds it open, with its highest revision, and that the alarms of all keys are
// open, except beyond the bound and those of the last hour.
func (s *sim) alarms(lives map[string]*simLife) {
	open := map[string]bool{}
	for _, m := range s.detect.members {
		d := m.p.(*detector)
		for q, t := range d.tasks {
			mark, kinds := t.engine.Mark().Quiet, map[string]int{}
			if s.detect.owner[q] != m || mark < 0 {
				continue
			}
			t.keys.OpenAlarms(&s.p.Ledger, func(key string, a keyledger.Alarm) {
				kinds[a.Kind]++
				open[d.alarm(key, &a, mark).ID] = true
			})
			t.keys.All(func(k *keyledger.Key) bool {
				for _, a := range k.Alarms(mark/second-3600, &s.p.Ledger, func(string) *keyledger.Key { return nil }) {
					kind := slices.Contains(s.p.Ledger.Alarms, a.Kind) && a.Kind != "alias_moved"
					if kind && a.Since < mark/second-7200 && kinds[a.Kind] == 0 {
						s.fault("no alarm %s is open, and %s has one since %d", a.Kind, k.Name, a.Since)
					}
				}
				return true
			})
			for kind, n := range kinds {
				s.stats["alarms "+kind] += n
				if n > s.p.Ledger.MaxAlarms {
					s.fault("%d alarms %s are open", n, kind)
				}
			}
		}
	}
	for id, l := range lives {
		if l.ledger && (open[id] != (l.last%2 == 0) || l.last != l.highest) {
			s.fault("the alarm %s is open: %v, and its last revision of at most %d is %d", id, open[id], l.highest, l.last)
		} else if l.ledger && l.ended > 0 {
			s.stats["alarms that ended"]++
		}
	}
	for id := range open {
		if lives[id] == nil {
			s.fault("the alarm %s was not published", id)
		}
	}
}
