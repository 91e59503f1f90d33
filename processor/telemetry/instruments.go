package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The SDK's names of the counters; Prometheus adds "_total".
const (
	nameReceived     = "keytrail_stage_received"
	nameDelivered    = "keytrail_stage_delivered"
	nameDeadLettered = "keytrail_stage_dead_lettered"
	nameFiltered     = "keytrail_stage_filtered"
	nameDuplicate    = "keytrail_stage_duplicate"
	nameLate         = "keytrail_stage_late"
	nameUnmatched    = "keytrail_stage_unmatched"
	nameUnexplained  = "keytrail_stage_unexplained"
	nameUncorrelated = "keytrail_stage_uncorrelated"
	nameOthers       = "keytrail_stage_others"
	nameTransactions = "keytrail_stage_transactions"
	nameWindows      = "keytrail_window_published"
	nameAnomalies    = "keytrail_anomaly_published"
	nameSinkTaken    = "keytrail_sink_delivered"
	nameSinkRetried  = "keytrail_sink_retried"
	nameSinkRejected = "keytrail_sink_rejected"
	nameRestarts     = "keytrail_stage_restarts"
	nameExpired      = "keytrail_stage_expired"
	nameLag          = "keytrail_stage_lag"
	nameLagTime      = "keytrail_stage_lag_timestamp" // with "_seconds", from its unit, as all timestamps
	nameSinkState    = "keytrail_sink_state"
	nameSinkPaused   = "keytrail_sink_paused"
	nameSinkExpires  = "keytrail_sink_oldest_record_expires_timestamp"
	nameSourceTries  = "keytrail_source_waiting"
	nameSourceSince  = "keytrail_source_oldest_waiting_timestamp" // with "_seconds", as the next
	nameSourcePolled = "keytrail_source_polled_timestamp"
	nameCommit       = "keytrail_stage_commit" // with "_seconds", as the next
	nameRestoreTime  = "keytrail_stage_restore"
	nameRestore      = "keytrail_stage_restored"
	nameWatermarkLag = "keytrail_stage_watermark_lag" // with "_seconds", from its unit
	nameReloads      = "keytrail_config_reloads"
	nameRefused      = "keytrail_config_reload_refused"
	nameApplied      = "keytrail_config_applied_timestamp" // with "_seconds"
	nameRulesInfo    = "keytrail_rules_info"
	nameRulesDiffer  = "keytrail_rules_differing_processes"
	nameLogLines     = "keytrail_log_lines"
)

// The labels.
const (
	labelStage   = "stage"
	labelSink    = "sink"
	labelSource  = "source"
	labelReason  = "reason"
	labelOutcome = "outcome"
	labelState   = "state"
	labelKind    = "kind"
	labelCause   = "cause"
	labelScope   = "scope"
	labelDigest  = "digest"

	labelPartition = "partition"
)

// StageCollect is the stage whose parts are sources; those of the others are sinks.
const StageCollect = "collect"

// fixed are the labels of a stage, and of one sink or source of it where part is not "".
func fixed(stage, part string) []attribute.KeyValue {
	set := []attribute.KeyValue{attribute.String(labelStage, stage)}
	switch {
	case part == "":
	case stage == StageCollect:
		set = append(set, attribute.String(labelSource, part))
	default:
		set = append(set, attribute.String(labelSink, part))
	}
	return set
}

// instruments are the metrics of all stages and sinks.
type instruments struct {
	received, delivered, deadLettered, filtered, duplicate, late metric.Int64Counter
	unmatched, unexplained, uncorrelated, others                 metric.Int64Counter
	transactions, windows, anomalies                             metric.Int64Counter
	sinkDelivered, sinkRetried, sinkRejected                     metric.Int64Counter
	restarts, expired                                            metric.Int64Counter
	lag, sinkState, sinkPaused, sourceWaiting                    metric.Int64ObservableGauge
	lagTime, watermarkLag, sinkExpires, sourceSince, sourcePoll  metric.Float64ObservableGauge
	commit, restore                                              metric.Float64Histogram
	restored, reloads                                            metric.Int64Counter
	reloadRefused, rulesInfo, rulesDiffer                        metric.Int64ObservableGauge
	applied                                                      metric.Float64ObservableGauge
}

func newInstruments(m metric.Meter) (instruments, error) {
	var i instruments
	var problems []error
	for _, c := range []struct {
		into              *metric.Int64Counter
		name, unit, about string
	}{
		{&i.received, nameReceived, "{record}", "Records that a stage has read."},
		{&i.delivered, nameDelivered, "{record}", "Records that a stage has passed on."},
		{&i.deadLettered, nameDeadLettered, "{record}", "Records that a stage could not use and has written to the dead letter topic."},
		{&i.filtered, nameFiltered, "{record}", "Records that a stage has omitted on purpose."},
		{&i.duplicate, nameDuplicate, "{record}", "Records that a stage had seen before."},
		{&i.late, nameLate, "{record}", "Records that arrived after the allowed lateness; they are dead-lettered as well."},
		{&i.unmatched, nameUnmatched, "{call}", "Calls that the user's rules could not read, because their records have no body, or one that is not an event."},
		{&i.unexplained, nameUnexplained, "{anomaly}", "Matches of the user's rules that only the windows count, because the call matches too many rules."},
		{&i.uncorrelated, nameUncorrelated, "{match}", "Matches of the user's rules that a correlation could not count: too many, too late, or of a correlation that stage detect does not have. Those of stage detect are dead-lettered as well."},
		{&i.others, nameOthers, "{call}", "Calls counted under their account's others, by scope, because the account or partition has reached its limit of KMS keys, principals and pairs."},
		{&i.transactions, nameTransactions, "{transaction}", "Kafka transactions that a stage has ended."},
		{&i.restarts, nameRestarts, "{session}", "Sessions with Kafka that a stage has retried after a failure."},
		{&i.expired, nameExpired, "{record}", "Kafka records that were deleted, by retention or by hand, before a stage had read them."},
		{&i.windows, nameWindows, "{window}", "Window records published."},
		{&i.anomalies, nameAnomalies, "{anomaly}", "Anomaly records published, without those of their ends."},
		{&i.reloads, nameReloads, "{reload}", "Changes of the configuration on SIGHUP, applied or refused."},
		{&i.restored, nameRestore, "{record}", "State records that a stage has restored for newly assigned partitions."},
		{&i.sinkDelivered, nameSinkTaken, "{record}", "Records that a sink has accepted."},
		{&i.sinkRetried, nameSinkRetried, "{record}", "Records sent to a sink again."},
		{&i.sinkRejected, nameSinkRejected, "{record}", "Records that a sink has refused permanently, or accepted and lost."},
	} {
		counter, err := m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.about))
		*c.into = counter
		problems = append(problems, err)
	}
	var err error
	i.commit, err = m.Float64Histogram(nameCommit, metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(seconds...),
		metric.WithDescription("How long a stage took to end a Kafka transaction: until its records were acknowledged "+
			"and committed."))
	problems = append(problems, err)
	i.restore, err = m.Float64Histogram(nameRestoreTime, metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(seconds...),
		metric.WithDescription("How long a stage took to restore the state of partitions."))
	problems = append(problems, err)
	problems = append(problems, i.gauges(m))
	return i, errors.Join(problems...)
}

// gauges makes the gauges.
func (i *instruments) gauges(m metric.Meter) error {
	var problems []error
	for _, g := range []struct {
		into              *metric.Int64ObservableGauge
		name, unit, about string
	}{
		{&i.lag, nameLag, "{record}", "Kafka records that the consumer group of a stage has not committed, in all partitions: the same in every process."},
		{&i.sinkState, nameSinkState, "", "Whether a sink is in this state: 1, or 0."},
		{&i.sourceWaiting, nameSourceTries, "{object}", "Objects of a source that could not be read and are tried again."},
		{&i.reloadRefused, nameRefused, "", "Whether the last change of the configuration was refused, and the one before runs on: 1, or 0."},
		{&i.rulesInfo, nameRulesInfo, "", "The digest of the rules and expected anomalies by which this process judges."},
		{&i.rulesDiffer, nameRulesDiffer, "{process}", "Processes whose frames were judged by other rules than those of this process."},
		{&i.sinkPaused, nameSinkPaused, "", "Whether a sink is paused for this cause, until a person resolves it: 1, or 0."},
	} {
		gauge, err := m.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.about))
		*g.into = gauge
		problems = append(problems, err)
	}
	for _, g := range []struct {
		into        *metric.Float64ObservableGauge
		name, about string
	}{
		{&i.lagTime, nameLagTime, "When the lag was last known, in seconds since 1970: constant while Kafka is unreachable."},
		{&i.sinkExpires, nameSinkExpires, "When Kafka deletes the oldest record that a sink has not taken, in seconds since 1970."},
		{&i.sourceSince, nameSourceSince, "When the first of the objects that a source tries again could not be read, in seconds since 1970."},
		{&i.sourcePoll, nameSourcePolled, "When a source last looked for new objects without an error, in seconds since 1970."},
		{&i.applied, nameApplied, "When the running configuration was applied, in seconds since 1970."},
		{&i.watermarkLag, nameWatermarkLag, "Clock minus the watermark of a stage."},
	} {
		gauge, err := m.Float64ObservableGauge(g.name, metric.WithUnit("s"), metric.WithDescription(g.about))
		*g.into = gauge
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// seconds are the bucket bounds of durations: a commit takes milliseconds, a restore up
// to a minute.
var seconds = []float64{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60}

// maxLabels bounds the values of one label per counter: 64. The sets are fixed in the
// code and far smaller; an error there ends as "other".
const maxLabels = 64

// labeled adds to a counter under one varying label and fixed others. It is safe
// for concurrent use.
type labeled struct {
	counter metric.Int64Counter
	fixed   []attribute.KeyValue
	label   string
	mu      sync.Mutex // guards options
	options map[string]metric.AddOption
}

func (l *labeled) add(name string, n int) {
	l.mu.Lock()
	option, ok := l.options[name]
	if !ok {
		if l.options == nil {
			l.options = map[string]metric.AddOption{}
		}
		if len(l.options) >= maxLabels {
			name = "other"
		}
		set := attribute.NewSet(append(l.fixed[:len(l.fixed):len(l.fixed)], attribute.String(l.label, name))...)
		option = metric.WithAttributeSet(set)
		l.options[name] = option
	}
	l.mu.Unlock()
	l.counter.Add(context.Background(), int64(n), option)
}

// Flow counts the records of one stage. A stage with Kafka transactions counts after the
// commit: an aborted transaction is repeated, and would count twice. It is safe for
// concurrent use.
type Flow struct {
	inst                                instruments
	option                              metric.MeasurementOption
	deadLettered, filtered, transaction labeled
	others                              labeled
}

// Flow returns the counters of a stage, or of one of its sinks or sources if part is not "".
// Flows with the same names share their counters.
func (t *Telemetry) Flow(stage, part string) *Flow {
	labels := fixed(stage, part)
	return &Flow{
		inst:         t.inst,
		option:       metric.WithAttributeSet(attribute.NewSet(labels...)),
		deadLettered: labeled{counter: t.inst.deadLettered, fixed: labels, label: labelReason},
		filtered:     labeled{counter: t.inst.filtered, fixed: labels, label: labelReason},
		transaction:  labeled{counter: t.inst.transactions, fixed: labels, label: labelOutcome},
		others:       labeled{counter: t.inst.others, fixed: labels, label: labelScope},
	}
}

// Begin creates the series that alerts need, with the value 0: expired records, and dead
// letters of the given reasons.
func (f *Flow) Begin(reasons ...string) {
	f.Expired(0)
	for _, reason := range reasons {
		f.DeadLettered(reason, 0)
	}
}

// BeginTransactions is Begin for a stage with transactions: its outcomes and restarts, and
// calls that are late or that the user's rules miss.
func (f *Flow) BeginTransactions() {
	f.Late(0)
	f.Unmatched(0)
	f.Uncorrelated(0)
	f.transaction.add("committed", 0)
	f.transaction.add("aborted", 0)
	f.add(f.inst.restarts, 0)
}

func (f *Flow) add(c metric.Int64Counter, n int) { c.Add(context.Background(), int64(n), f.option) }

// Received counts records that the stage has read.
func (f *Flow) Received(n int) { f.add(f.inst.received, n) }

// Delivered counts records that the stage has passed on.
func (f *Flow) Delivered(n int) { f.add(f.inst.delivered, n) }

// DeadLettered counts records in the dead letter topic, by their reason.
func (f *Flow) DeadLettered(reason string, n int) { f.deadLettered.add(reason, n) }

// Filtered counts records omitted on purpose, by the reason.
func (f *Flow) Filtered(reason string, n int) { f.filtered.add(reason, n) }

// Duplicate counts records that were seen before.
func (f *Flow) Duplicate(n int) { f.add(f.inst.duplicate, n) }

// Late counts records after the allowed lateness. DeadLettered counts them as well.
func (f *Flow) Late(n int) { f.add(f.inst.late, n) }

// Unmatched counts calls whose record the user's rules could not read.
func (f *Flow) Unmatched(n int) { f.add(f.inst.unmatched, n) }

// Unexplained counts matches of the user's rules without an anomaly record.
func (f *Flow) Unexplained(n int) { f.add(f.inst.unexplained, n) }

// Uncorrelated counts matches of the user's rules that a correlation could not count.
func (f *Flow) Uncorrelated(n int) { f.add(f.inst.uncorrelated, n) }

// Others counts calls attributed to their account's "others", in one scope ("key",
// "principal" or "pair").
func (f *Flow) Others(scope string, n int) { f.others.add(scope, n) }

// Committed counts a Kafka transaction that was committed.
func (f *Flow) Committed() { f.transaction.add("committed", 1) }

// Took records how long the end of a transaction took.
func (f *Flow) Took(d time.Duration) {
	f.inst.commit.Record(context.Background(), d.Seconds(), f.option)
}

// Restored records how many records of state were read back, and in what time.
func (f *Flow) Restored(records int, d time.Duration) {
	f.add(f.inst.restored, records)
	f.inst.restore.Record(context.Background(), d.Seconds(), f.option)
}

// Restarted counts a session with Kafka that failed and is retried.
func (f *Flow) Restarted() { f.add(f.inst.restarts, 1) }

// Expired counts Kafka records that were deleted before they were read.
func (f *Flow) Expired(n int64) { f.inst.expired.Add(context.Background(), n, f.option) }

// Aborted counts a Kafka transaction that was aborted.
func (f *Flow) Aborted() { f.transaction.add("aborted", 1) }
