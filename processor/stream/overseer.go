package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
)

// part is one stage, or one sink of stage forward, as it is seen from outside: by its
// consumer group, whichever processes are its members.
type part struct {
	stage, sink string
	group       string
	topics      []string
	lag         *telemetry.Lag
	health      *telemetry.Part
	state       *telemetry.SinkState // of a sink
	works       bool                 // of a stage: nothing has failed since it worked last; of its goroutine

	mu      sync.Mutex // guards what follows, of a sink
	status  sink.Status
	expires time.Time // of the oldest record that is not taken; zero: none, or not known
	known   time.Time // when expires was
}

// name is what people call it: "stage count", "sink siem".
func (p *part) name() string {
	if p.sink != "" {
		return "sink " + p.sink
	}
	return "stage " + p.stage
}

// lookEvery is how often topics and groups are looked at, and how long each look may take.
// Four questions and three for each group are a light load for a broker.
const lookEvery = 3 * time.Second

// expiresEvery is how often the oldest record that a sink has not taken is looked for,
// while it does not take any: one record of each partition is read for it.
const expiresEvery = 30 * time.Second

// addPart makes the metrics and the health of a stage, or of one sink of it.
func (p *Pipeline) addPart(one *part, reasons ...string) (err error) {
	if one.lag, err = p.Telemetry.Lag(one.stage, one.sink); err != nil {
		return err
	}
	one.health = p.Telemetry.Health().Part(one.name())
	one.health.Report(telemetry.Starting, "it has not begun yet")
	flow := p.Telemetry.Flow(one.stage, one.sink)
	flow.Begin(reasons...)
	if one.sink == "" {
		flow.BeginTransactions()
		p.parts = append(p.parts, one)
		return nil
	}
	var states, causes, refusals []string
	for _, s := range []sink.State{sink.StateTaking, sink.StateFailing, sink.StatePaused} {
		states = append(states, string(s))
	}
	for _, c := range sink.Causes() {
		causes = append(causes, string(c))
	}
	for _, r := range sink.Reasons() {
		refusals = append(refusals, string(r))
	}
	p.Telemetry.Sink(one.sink).Begin(refusals...)
	one.state, err = p.Telemetry.SinkState(one.sink, states, causes)
	p.parts = append(p.parts, one)
	return err
}

// oversee looks at topics and groups until ctx is done, and returns an error when a topic
// is not what it was. Everything else that it finds is told by the metrics and probes.
func (p *Pipeline) oversee(ctx context.Context, stages Stages) error {
	m, err := kafka.NewMonitor(p.Kafka, p.topics(stages))
	if err != nil {
		return err
	}
	defer m.Close()
	all := p.Telemetry.Health().Part("kafka")
	var asked time.Time // for how long topics are kept
	for {
		fault, away := p.lookAtTopics(ctx, m, &asked)
		if fault != nil {
			return fault
		}
		for _, one := range p.parts {
			p.lookAt(ctx, m, one, away)
		}
		if ctx.Err() != nil {
			return nil
		}
		p.answered(all, away)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// lookAtTopics compares the topics with what they were, and asks now and then for how long
// they are kept; asked is when that was. away is why Kafka did not answer.
func (p *Pipeline) lookAtTopics(ctx context.Context, m *kafka.Monitor, asked *time.Time) (fault, away error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if fault, away = m.Look(ctx); fault != nil || away != nil {
		return fault, away
	}
	if time.Since(*asked) > expiresEvery {
		away = p.retention(ctx, m)
		*asked = time.Now()
	}
	return nil, away
}

// lookAt looks at one part, in a time of its own: what one of them takes long to answer,
// or is not allowed to ask, says nothing of the others. While Kafka is away it asks nothing.
func (p *Pipeline) lookAt(ctx context.Context, m *kafka.Monitor, one *part, away error) {
	if away == nil {
		within, cancel := context.WithTimeout(ctx, lookEvery)
		defer cancel()
		away = p.look(within, m, one)
	}
	if away == nil {
		one.health.Clear(telemetry.LagUnknown)
	} else {
		one.health.Report(telemetry.LagUnknown, "the metrics show what was known last: %v", away)
	}
}

// answered notes whether Kafka answered the last look at the topics.
func (p *Pipeline) answered(all *telemetry.Part, away error) {
	if away == nil {
		all.Clear(telemetry.KafkaAway)
		p.Kafka.Trouble.Answered()
		return
	}
	all.Report(telemetry.KafkaAway, "%v", away)
	p.Kafka.Trouble.Failed("cannot look at topics and groups", away)
}

// look brings the lag of one part up to date, and of a sink that takes nothing the time
// at which it loses something.
func (p *Pipeline) look(ctx context.Context, m *kafka.Monitor, one *part) error {
	asked := time.Now()
	standings, err := m.Standings(ctx, one.group, one.topics...)
	if err != nil {
		return fmt.Errorf("%s: %w", one.name(), err)
	}
	total := int64(0)
	for _, partitions := range standings {
		for _, s := range partitions {
			total += s.Lag()
		}
	}
	one.lag.Set(total, asked)
	if one.sink == "" {
		return nil
	}
	one.mu.Lock()
	due := one.status.State != sink.StateTaking && one.status.State != "" && time.Since(one.known) > expiresEvery
	one.mu.Unlock()
	if !due {
		return nil
	}
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookEvery)
	defer cancel()
	oldest, err := m.Oldest(reading, standings)
	if err != nil {
		return err
	}
	var expires time.Time
	for topic, at := range oldest {
		if end, ok := p.expiry(topic, at); ok && (expires.IsZero() || end.Before(expires)) {
			expires = end
		}
	}
	one.setExpires(expires)
	return nil
}

// works notes that a stage has ended a transaction, or had nothing to commit: it is a
// member of its group, and Kafka answers it.
func (p *Pipeline) works(stage string) {
	if one := p.partOf(stage, ""); one != nil && !one.works {
		one.works = true
		one.health.Clear(telemetry.Starting)
		one.health.Clear(telemetry.Failing)
	}
}

// failed notes that the session of a stage with Kafka failed, and is begun again.
func (p *Pipeline) failed(stage string, err error) {
	p.flow(stage).Restarted()
	if one := p.partOf(stage, ""); one != nil {
		one.works = false
		one.health.Report(telemetry.Failing, "its session with Kafka failed: %v", err)
	}
}

// restoring notes that a stage reads its state back, until the function that it returns
// is called.
func (p *Pipeline) restoring(topic string, partitions []int32) (done func()) {
	stage := map[string]string{p.Topics.Dedup: "count", p.Topics.State: "detect"}[topic]
	one := p.partOf(stage, "")
	if one == nil {
		return func() {}
	}
	one.health.Report(telemetry.Restoring, "it reads the state of partitions %v back from topic %q", partitions, topic)
	return func() { one.health.Clear(telemetry.Restoring) }
}

// retention asks for how long topics keep records: somebody may change it because a sink
// is paused.
func (p *Pipeline) retention(ctx context.Context, m *kafka.Monitor) error {
	kept, err := m.Retention(ctx, p.Topics.Events, p.Topics.Windows, p.Topics.Anomalies)
	if err != nil {
		return err
	}
	p.keptMu.Lock()
	defer p.keptMu.Unlock()
	p.kept = kept
	return nil
}

// expiry returns the time from which on Kafka may delete a record of a topic; false when
// it does not delete by age, or that is not known.
func (p *Pipeline) expiry(topic string, at time.Time) (time.Time, bool) {
	p.keptMu.Lock()
	defer p.keptMu.Unlock()
	kept, ok := p.kept[topic]
	return at.Add(kept), ok
}

// tell notes what the sink does now. It is called by the goroutine that delivers.
func (p *part) tell(s sink.Status) {
	p.mu.Lock()
	p.status = s
	if s.State == sink.StateTaking {
		p.expires, p.known = time.Time{}, time.Time{}
	}
	expires := p.expires
	p.mu.Unlock()
	p.state.Set(string(s.State), string(s.Cause))
	p.state.Expires(expires)
	p.report(s, expires)
}

// report tells the probes what the sink does.
func (p *part) report(s sink.Status, expires time.Time) {
	lost := ""
	if !expires.IsZero() {
		lost = "; the oldest record that it has not taken expires at " + expires.UTC().Format(time.RFC3339)
	}
	switch s.State {
	case sink.StateTaking:
		p.health.Clear(telemetry.SinkPaused)
		p.health.Clear(telemetry.Failing)
	case sink.StatePaused:
		p.health.Clear(telemetry.Failing)
		p.health.Report(telemetry.SinkPaused, "%v; it goes on by itself once somebody has mended this%s", s.Err, lost)
	case sink.StateFailing:
		p.health.Clear(telemetry.SinkPaused)
		p.health.Report(telemetry.Failing, "%v; the next attempt is at %s%s", s.Err,
			s.Next.UTC().Format(time.RFC3339), lost)
	}
}

// setExpires notes when the oldest record that the sink has not taken expires.
func (p *part) setExpires(at time.Time) {
	p.mu.Lock()
	if p.status.State == sink.StateTaking {
		p.mu.Unlock()
		return // it has taken records meanwhile
	}
	p.expires, p.known = at, time.Now()
	s := p.status
	p.mu.Unlock()
	p.state.Expires(at)
	p.report(s, at)
}

// expiresAt returns when the oldest record that the sink has not taken expires, false
// when that is not known.
func (p *part) expiresAt() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expires, !p.expires.IsZero()
}
