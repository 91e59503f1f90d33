// Package config reads the file of `keytrail run -c keytrail.yaml`: strict YAML without
// unknown keys or unchecked values. Every error names the file, the line, the key, the
// value and what is allowed.
//
// Packages that own a Config (sink, the types of sinks, telemetry) keep its defaults and
// rules; this package combines them and adds the rules between sections. It opens no
// connection and only the given file.
//
// Values, but not keys, may refer to the environment: "${NAME}" is replaced by the
// variable's text, and "$${" by the two characters "${". An unset variable is an error.
// References are resolved after the YAML is parsed, so a variable cannot change the
// structure of the file.
//
// Bounds: a file has at most 1 MiB, and at most 20 errors are listed. Anchors, aliases,
// tags and further documents are refused.
package config

import (
	"cmp"
	"time"

	"keytrail/processor/detector"
	"keytrail/processor/kafka"
	"keytrail/processor/keyledger"
	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/sink/filter"
	"keytrail/processor/telemetry"
	"keytrail/processor/web"
	"keytrail/processor/window"
	"keytrail/schemas/decoding"
	"keytrail/schemas/wire"
)

// Config has all settings. It is plain data: safe for concurrent reading, copied by
// assignment except for its lists and maps.
type Config struct {
	Kafka  Kafka             `yaml:"kafka"`
	Stages []Stage           `yaml:"stages"`
	Decode Decode            `yaml:"decode"`
	Window Window            `yaml:"window"`
	Commit Commit            `yaml:"commit"`
	Detect detector.Settings `yaml:"detect"`
	// Ledger says when the ledger of a KMS key alarms.
	Ledger keyledger.Deadlines `yaml:"ledger"`
	// SelfPrincipals are the principals with which the pipeline itself reads trails;
	// their reads of encrypted trails are marked with keytrail.self.
	SelfPrincipals []string `yaml:"self_principals"`
	Rules          Rules    `yaml:"rules"`
	// Resource are attributes that the resource of every record gets on its way to a sink,
	// such as service.name.
	Resource map[string]string `yaml:"resource"`
	// Sources are read by stage collect of one process.
	Sources   []Source         `yaml:"sources"`
	Sinks     []Sink           `yaml:"sinks"`
	Web       web.Settings     `yaml:"web"`
	Telemetry telemetry.Config `yaml:"telemetry"`

	file     string                  // the name of the file
	lines    map[string]int          // of each key in it
	written  map[string]interpolated // settings that refer to the environment, by key
	literals []string                // secrets in the file itself
	hidden   *setting.Scrubber       // removes both from a text; nil without a file
}

// Rules names the user's rules. This package does not read them.
type Rules struct {
	// Sigma are directories of Sigma rules and single files, relative to the working
	// directory of the process; docs/sigma.md describes their contents.
	Sigma []string `yaml:"sigma"`
}

// Kafka configures the brokers and the creation of topics.
type Kafka struct {
	Brokers []string `yaml:"brokers"` // host:port each
	// Embedded runs a broker inside the process instead of Brokers, for demonstrations
	// and tests: it is not crash-safe.
	Embedded bool `yaml:"embedded"`
	// DataDir is the folder of the embedded broker; "" keeps its data in memory.
	DataDir  string `yaml:"data_dir"`
	ClientID string `yaml:"client_id"`
	// Prefix begins the name of every topic: "kms." gives "kms.events".
	Prefix string `yaml:"prefix"`
	// Replication is the number of replicas of each created topic; 0, the default, leaves
	// it to the brokers (default.replication.factor). Startup refuses a default of 1 if
	// there are three brokers or more.
	Replication int        `yaml:"replication"`
	Partitions  Partitions `yaml:"partitions"`
	// TransactionalID begins the transactional ids of the stages. Installations that
	// share a Kafka cluster must differ in it.
	TransactionalID string `yaml:"transactional_id"`
	// SessionTimeout is the time without heartbeats after which other processes take over
	// a process's partitions.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// InstanceID is the same for every start of one process, and different for each process,
	// such as the name of a pod of a StatefulSet: a process that restarts within
	// SessionTimeout keeps its partitions, and no others move. "", the default, gives them
	// to others when the process ends.
	InstanceID string `yaml:"instance_id"`
	// TLS and SASL secure the connections to Brokers.
	TLS  kafka.TLS  `yaml:"tls"`
	SASL kafka.SASL `yaml:"sasl"`
}

// Security returns the settings of connections.
func (k *Kafka) Security() kafka.Security { return kafka.Security{TLS: k.TLS, SASL: k.SASL} }

// Partitions are the partition counts of created topics.
type Partitions struct {
	Events   int `yaml:"events"`
	Partials int `yaml:"partials"`
}

// Stage names one stage of the pipeline.
type Stage string

// The stages, in an event's order.
const (
	StageCollect   Stage = "collect"   // sources to kms.events
	StageNormalize Stage = "normalize" // kms.raw to kms.events
	StageCount     Stage = "count"     // kms.events to kms.partials
	StageDetect    Stage = "detect"    // kms.partials to kms.windows and kms.anomalies
	StageForward   Stage = "forward"   // to the sinks
	StageWeb       Stage = "web"       // to the page, and only where it is named
)

// Stages returns all stages in an event's order.
func Stages() []Stage { return append(DefaultStages(), StageWeb) }

// DefaultStages returns the stages that run unless others are named.
func DefaultStages() []Stage {
	return []Stage{StageCollect, StageNormalize, StageCount, StageDetect, StageForward}
}

// Body reports whether a log record keeps the original event.
type Body string

// The ways to treat the original event.
const (
	BodyKeep Body = "keep" // the log record's body is the event, byte for byte
	BodyNone Body = "none" // the log record has no body
)

// Decode bounds the resources for one object of CloudTrail records; see decoding.Limits
// for the arithmetic.
type Decode struct {
	CompressedBytes setting.Size `yaml:"compressed_bytes"`
	InflatedBytes   setting.Size `yaml:"inflated_bytes"`
	Ratio           int64        `yaml:"ratio"`
	RecordBytes     setting.Size `yaml:"record_bytes"`
	FieldBytes      setting.Size `yaml:"field_bytes"`
	Records         int          `yaml:"records"`
	Depth           int          `yaml:"depth"`
	// MessageRecords and MessageBytes bound the records from one message of kms.raw.
	MessageRecords int          `yaml:"message_records"`
	MessageBytes   setting.Size `yaml:"message_bytes"`
	Body           Body         `yaml:"body"`
}

// Limits returns the bounds in the decoder's form.
func (d Decode) Limits() decoding.Limits {
	return decoding.Limits{CompressedBytes: int64(d.CompressedBytes),
		InflatedBytes: int64(d.InflatedBytes), Ratio: d.Ratio,
		RecordBytes: int(d.RecordBytes), FieldBytes: int(d.FieldBytes), Records: d.Records, Depth: d.Depth}
}

// Window sets the event-time windows.
type Window struct {
	Size time.Duration `yaml:"size"`
	// Rollups are the sizes of longer windows that sum windows of Size.
	Rollups []time.Duration `yaml:"rollups"`
	// OutOfOrderness is how much later than younger events an event may arrive without
	// being late: CloudTrail delivers most within 15 minutes.
	OutOfOrderness time.Duration `yaml:"out_of_orderness"`
	// AllowedLateness is how long after its end a window still accepts late calls.
	AllowedLateness time.Duration `yaml:"allowed_lateness"`
	// FutureSkew is how far ahead of the clock an event may move the watermark.
	FutureSkew time.Duration `yaml:"future_skew"`
	// IdleAfter is the silence after which a source's watermark follows the other
	// sources, or the clock if all are silent, so that it holds nothing back.
	IdleAfter time.Duration `yaml:"idle_after"`
}

// Commit bounds one Kafka transaction: the first limit that is reached ends it.
type Commit struct {
	Interval time.Duration `yaml:"interval"`
	Records  int           `yaml:"records"`
}

// Detection returns the settings of windows and detectors in the engine's form.
func (c *Config) Detection() window.Config {
	w := c.Window
	return window.Config{
		Settings: c.Detect, Size: int64(w.Size), Rollups: nanoseconds(w.Rollups), Lateness: int64(w.AllowedLateness),
	}
}

func nanoseconds(list []time.Duration) (ns []int64) {
	for _, d := range list {
		ns = append(ns, int64(d))
	}
	return ns
}

// Sink is one destination. In the file, the keys of To are among its own.
type Sink struct {
	// Name identifies the sink in logs and metrics.
	Name string `yaml:"name"`
	// ID identifies the sink in its consumer group; "" means Name. A sink that is renamed
	// keeps its position if ID stays what Name was.
	ID   string      `yaml:"id"`
	Type all.Type    `yaml:"type"`
	To   sink.Config `yaml:",inline"` // of Type
	// From is where the sink begins when it first runs.
	From sink.Start `yaml:"from"`
	Take Take       `yaml:"take"`
	// Filter chooses among the records that Take takes.
	Filter filter.Config `yaml:"filter"`
	Batch  sink.Batch    `yaml:"batch"`
	// InFlight bounds the batches that are on their way at the same time (default 4, or 1
	// where the type takes no more).
	InFlight int        `yaml:"in_flight"`
	Retry    sink.Retry `yaml:"retry"`
}

// Identifier returns what identifies the sink in its consumer group.
func (s *Sink) Identifier() string { return cmp.Or(s.ID, s.Name) }

// Take selects the records of a sink.
type Take struct {
	Events    bool    `yaml:"events"`
	Windows   Windows `yaml:"windows"`
	Anomalies bool    `yaml:"anomalies"`
	Incidents bool    `yaml:"incidents"` // default false
}

// Windows selects the windows of a sink.
type Windows string

// The choices of windows, each a superset of the one before; WindowsAnomalous is the
// default.
const (
	WindowsNone      Windows = "none"
	WindowsAnomalous Windows = "anomalous" // those with anomalies
	WindowsAll       Windows = "all"
)

// defaultInFlight is how many batches are on their way at the same time: with 100 ms per
// request and 1,000 records in each, 40,000 records per second.
const defaultInFlight = 4

// NewSink returns a Sink of type t with its defaults, or false for an unknown type. Its
// Name and the settings without a default are empty.
func NewSink(t all.Type) (Sink, bool) {
	to := all.Default(t)
	kind, _ := all.Find(t)
	take, batch := Take{Events: true, Windows: WindowsAnomalous, Anomalies: true}, sink.DefaultBatch()
	if _, notifies := to.(sink.Notifier); notifies {
		take = Take{Windows: WindowsNone, Anomalies: true}
	}
	if own, ok := to.(sink.Batcher); ok {
		batch = own.DefaultBatch()
	}
	return Sink{Type: t, To: to, Take: take,
		Filter: filter.Default(), Batch: batch, InFlight: min(defaultInFlight, kind.InFlight),
		Retry: sink.DefaultRetry()}, to != nil
}

// Default returns the configuration of an empty file.
func Default() *Config {
	limits, detection := decoding.Limits{}.WithDefaults(), window.DefaultConfig()
	return &Config{
		Kafka: Kafka{
			Brokers: []string{"127.0.0.1:9092"}, ClientID: "keytrail", Prefix: wire.DefaultPrefix,
			Replication: 0, Partitions: Partitions{Events: 8, Partials: 8}, TransactionalID: "keytrail",
			SessionTimeout: 45 * time.Second, // Kafka's own default (KIP-735)
			SASL:           kafka.SASL{Mechanism: kafka.MechanismNone},
		},
		Stages: DefaultStages(),
		Decode: Decode{CompressedBytes: setting.Size(limits.CompressedBytes),
			InflatedBytes: setting.Size(limits.InflatedBytes), Ratio: limits.Ratio,
			RecordBytes: setting.Size(limits.RecordBytes), FieldBytes: setting.Size(limits.FieldBytes),
			Records: limits.Records, Depth: limits.Depth,
			MessageRecords: wire.DefaultMessageRecords, MessageBytes: wire.DefaultMessageBytes, Body: BodyKeep},
		Window: Window{Size: time.Duration(detection.Size), Rollups: []time.Duration{}, OutOfOrderness: 15 * time.Minute,
			AllowedLateness: time.Duration(detection.Lateness), FutureSkew: 5 * time.Minute,
			IdleAfter: time.Minute},
		Commit:         Commit{Interval: 250 * time.Millisecond, Records: 20_000},
		Detect:         detection.Settings,
		Ledger:         keyledger.DefaultDeadlines(),
		SelfPrincipals: []string{},
		Rules:          Rules{Sigma: []string{}},
		Resource:       map[string]string{},
		Sources:        []Source{},
		Sinks:          []Sink{},
		Web:            web.DefaultSettings(),
		Telemetry:      telemetry.DefaultConfig(),
	}
}
