package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/telemetry"
)

// part is one stage, one source of stage collect, or one sink of stage forward. All but
// sources are seen from outside: by their consumer group, whichever processes are its
// members.
type part struct {
	stage, sink, source string
	group               string // "" for a source
	topics              []string
	lag                 *telemetry.Lag
	health              *telemetry.Part
	state               *telemetry.SinkState   // of a sink
	progress            *telemetry.SourceState // of a source
	works               bool                   // of a stage: no failure since its last success; owned by its goroutine

	owned owned

	mu      sync.Mutex // guards the following fields of a sink
	status  sink.Status
	expires time.Time // of the oldest untaken record; zero: none or unknown
	known   time.Time // when expires was
}

// name is the display name: "stage count", "source trail", "sink siem".
func (p *part) name() string {
	switch {
	case p.sink != "":
		return "sink " + p.sink
	case p.source != "":
		return "source " + p.source
	}
	return "stage " + p.stage
}

// lookEvery is the interval of looking at topics and groups, and the time limit of each
// look. Four requests plus three per group are a light load for a broker.
const lookEvery = 3 * time.Second

// expiresEvery is the interval of looking up a blocked sink's oldest untaken record: it
// reads one record per partition.
const expiresEvery = 30 * time.Second

// addPart creates the metrics and the health of a stage, or of one of its sinks.
func (p *Pipeline) addPart(one *part, reasons ...string) (err error) {
	one.health = p.Telemetry.Health().Part(one.name())
	one.health.Report(telemetry.Starting, "it has not started yet")
	if one.source != "" || one.sink != "" {
		one.health.Outside()
	} else {
		one.health.Report(telemetry.CatchingUp, "it has not yet read the records that were there at its start")
	}
	flow := p.Telemetry.Flow(one.stage, cmp.Or(one.sink, one.source))
	flow.Begin(reasons...)
	if one.source != "" {
		p.newPart(one)
		one.progress, err = p.Telemetry.SourceState(one.source)
		return err
	}
	if one.lag, err = p.Telemetry.Lag(one.stage, one.sink); err != nil {
		return err
	}
	if one.sink == "" {
		flow.BeginTransactions()
		p.newPart(one)
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
	p.newPart(one)
	return err
}

// oversee watches topics and groups until ctx is done, and returns an error if a topic
// has changed. It reports everything else to the metrics and probes.
func (p *Pipeline) oversee(ctx context.Context, stages Stages) error {
	m, err := kafka.NewMonitor(p.Kafka, without(p.topics(stages), p.Topics.Status))
	if err != nil {
		return err
	}
	defer m.Close()
	all := p.Telemetry.Health().Part("kafka")
	var asked time.Time // of the last request for retention times
	for {
		fault, away := p.lookAtTopics(ctx, m, &asked)
		if fault != nil {
			return fault
		}
		for _, one := range p.allParts() {
			if one.source != "" {
				continue
			}
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

// without returns the topics except one: that of the status may be deleted, because no count
// depends on it.
func without(topics []kafka.Topic, name string) []kafka.Topic {
	return slices.DeleteFunc(topics, func(t kafka.Topic) bool { return t.Name == name })
}

// lookAtTopics compares the topics with their first state, and sometimes requests their
// retention times; asked is when it last did. away is the reason why Kafka did not answer.
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

// lookAt looks at one part with its own time limit: a slow or denied answer about one
// says nothing about the others. While Kafka is unreachable it asks nothing.
func (p *Pipeline) lookAt(ctx context.Context, m *kafka.Monitor, one *part, away error) {
	if away == nil {
		within, cancel := context.WithTimeout(ctx, lookEvery)
		defer cancel()
		away = p.look(within, m, one)
	}
	if away == nil {
		one.health.Clear(telemetry.LagUnknown)
	} else {
		one.health.Report(telemetry.LagUnknown, "the metrics show the last known values: %v", away)
	}
}

// answered records whether Kafka answered the last look at the topics.
func (p *Pipeline) answered(all *telemetry.Part, away error) {
	if away == nil {
		all.Clear(telemetry.KafkaAway)
		p.Kafka.Trouble.Answered()
		return
	}
	all.Report(telemetry.KafkaAway, "%v", away)
	p.Kafka.Trouble.Failed("cannot look at topics and groups", away)
}

// look updates the lag of one part, and for a blocked sink the time of its first loss.
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
	if one.owned.saw(standings, total, asked) {
		one.health.Clear(telemetry.CatchingUp)
	}
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

// works records that a stage has ended a transaction, or had nothing to commit: it is a
// member of its group, and Kafka answers it.
func (p *Pipeline) works(stage string) {
	if one := p.partOf(stage, ""); one != nil && !one.works {
		one.works = true
		one.health.Clear(telemetry.Starting)
		one.health.Clear(telemetry.Failing)
	}
}

// failed records that a stage's session with Kafka failed and is retried.
func (p *Pipeline) failed(stage string, err error) {
	p.flow(stage).Restarted()
	if one := p.partOf(stage, ""); one != nil {
		one.works = false
		one.health.Report(telemetry.Failing, "its session with Kafka failed: %v", err)
	}
}

// restoring records that a stage restores its state, until the returned function is
// called.
func (p *Pipeline) restoring(topic string, partitions []int32) (done func()) {
	stage := map[string]string{p.Topics.Dedup: "count", p.Topics.State: "detect"}[topic]
	one := p.partOf(stage, "")
	if one == nil {
		return func() {}
	}
	one.health.Report(telemetry.Restoring, "it restores the state of partitions %v from topic %q", partitions, topic)
	return func() { one.health.Clear(telemetry.Restoring) }
}

// retention requests the topics' retention times: somebody may change them because a sink
// is paused.
func (p *Pipeline) retention(ctx context.Context, m *kafka.Monitor) error {
	kept, err := m.Retention(ctx, p.Topics.Events, p.Topics.Windows, p.Topics.Anomalies, p.Topics.Incidents)
	if err != nil {
		return err
	}
	p.keptMu.Lock()
	defer p.keptMu.Unlock()
	p.kept = kept
	return nil
}

// expiry returns the time after which Kafka may delete a record of a topic; false if the
// topic does not delete by age, or that is unknown.
func (p *Pipeline) expiry(topic string, at time.Time) (time.Time, bool) {
	p.keptMu.Lock()
	defer p.keptMu.Unlock()
	kept, ok := p.kept[topic]
	return at.Add(kept), ok
}

// tell records the sink's current action. The delivering goroutine calls it.
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

// report passes the sink's state to the probes.
func (p *part) report(s sink.Status, expires time.Time) {
	lost := ""
	if !expires.IsZero() {
		lost = "; the oldest untaken record expires at " + expires.UTC().Format(time.RFC3339)
	}
	switch s.State {
	case sink.StateTaking:
		p.health.Clear(telemetry.SinkPaused)
		p.health.Clear(telemetry.Failing)
	case sink.StatePaused:
		p.health.Clear(telemetry.Failing)
		p.health.Report(telemetry.SinkPaused, "%v; it resumes by itself once this is resolved%s", s.Err, lost)
	case sink.StateFailing:
		p.health.Clear(telemetry.SinkPaused)
		p.health.Report(telemetry.Failing, "%v; the next attempt is at %s%s", s.Err,
			s.Next.UTC().Format(time.RFC3339), lost)
	}
}

// setExpires records when the oldest untaken record of the sink expires.
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

// expiresAt returns when the oldest untaken record of the sink expires, false if unknown.
func (p *part) expiresAt() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expires, !p.expires.IsZero()
}
