package stream

import (
	"fmt"
	"maps"
	"time"

	"keytrail/processor/kafka"
	"keytrail/processor/telemetry"
)

// topics are the topics of an installation, with the stages' access.
func (p *Pipeline) topics(stages Stages) []kafka.Topic {
	list := p.allTopics()
	access := p.access(stages)
	for i := range list {
		list[i].Access = access[list[i].Name]
	}
	return list
}

// allTopics are the topics of an installation.
//
// Retention applies to topics that are read once and passed on (kms.raw), and to those
// for people and other programs. kms.partials is kept a day longer than kms.events: the
// output of stage count must not expire before stage detect has read it while the events
// themselves still exist. State has no retention time.
func (p *Pipeline) allTopics() []kafka.Topic {
	day, week := 24*time.Hour, 7*24*time.Hour
	return []kafka.Topic{
		{Name: p.Topics.Raw, Partitions: p.Events, Configs: kept(day)},
		// Lateness follows from the times at which events were written (eventtime.Progress).
		{Name: p.Topics.Events, Partitions: p.Events, Configs: with(kept(week), "message.timestamp.type", "LogAppendTime")},
		// A commit's ids take some kB to 480 kB for a few hours; four heads a second take
		// 20 MB a day.
		{Name: p.Topics.Dedup, Partitions: p.Events, Configs: compacted(16 << 20), DeletedAdvice: startOver},
		{Name: p.Topics.Partials, Partitions: p.Partials, Configs: kept(week + day), Outlives: p.Topics.Events},
		// An entity's state may exceed Kafka's default limit: see kafka.MaxBatchBytes.
		{Name: p.Topics.State, Partitions: p.Partials, Configs: with(compacted(64<<20), "max.message.bytes", kafka.MaxBatchBytes),
			DeletedAdvice: startOver},
		{Name: p.Topics.Windows, Partitions: p.Partials, Configs: kept(week), AnyPolicy: true},
		{Name: p.Topics.Anomalies, Partitions: p.Partials, Configs: kept(week), AnyPolicy: true},
		{Name: p.Topics.Incidents, Partitions: p.Partials, Configs: kept(week), AnyPolicy: true},
		// A key's ledger is published once an hour, if at all, and never deleted.
		{Name: p.Topics.Keys, Partitions: p.Partials, Configs: compacted(64 << 20), AnyPolicy: true},
		{Name: p.Topics.DeadLetter, Partitions: 1, Configs: kept(4 * week)},
		// A reader reads it whole. Processes that were killed leave a record, for a day. Its times
		// show the brokers' clock.
		{Name: p.Topics.Status, Partitions: 1, AnyPolicy: true, Configs: with(with(with(compacted(4<<20),
			"cleanup.policy", "compact,delete"), "retention.ms", day.Milliseconds()),
			"message.timestamp.type", "LogAppendTime")},
	}
}

// startOver is the advice for a state topic whose records may expire. Compacting it
// brings no deleted record back, and counting needs all of them.
const startOver = "records of it may be gone: start over; docs/operations.md, \"Starting over\", says how"

// safe are the settings of every topic: a replica that lacks acknowledged records cannot
// become leader. kafka.EnsureTopics sets min.insync.replicas, because it knows the number
// of replicas.
func safe() map[string]*string { return with(nil, "unclean.leader.election.enable", false) }

// kept are the settings of a topic with a retention time.
func kept(d time.Duration) map[string]*string {
	return with(safe(), "retention.ms", d.Milliseconds())
}

// compacted are the settings of a state topic. Only closed segments are compacted, and a
// restart reads the rest, so segments are small, and are closed and compacted soon: a
// topic takes one and a half times the needed records, plus two segments. Tombstones stay
// for an hour, much longer than reading the topic takes.
func compacted(segment int) map[string]*string {
	c := with(safe(), "cleanup.policy", "compact")
	for name, value := range map[string]any{
		"segment.bytes": segment, "segment.ms": (6 * time.Hour).Milliseconds(),
		"min.cleanable.dirty.ratio": 0.33, "delete.retention.ms": time.Hour.Milliseconds(),
	} {
		c = with(c, name, value)
	}
	return c
}

// with returns settings with one added.
func with(c map[string]*string, name string, value any) map[string]*string {
	text := fmt.Sprint(value)
	c = maps.Clone(c)
	if c == nil {
		c = map[string]*string{}
	}
	c[name] = &text
	return c
}

// expired reports that n offsets of a stage's input were deleted unread.
func (p *Pipeline) expired(stage string, n int) {
	p.flow(stage).Expired(int64(n))
	if one := p.partOf(stage, ""); one != nil {
		one.health.Report(telemetry.Expired, "Kafka deleted %d records before stage %s had read them: they are not "+
			"counted; docs/operations.md, \"Records expired unread\", says what to do", n, stage)
	}
}
