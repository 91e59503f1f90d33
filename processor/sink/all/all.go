// Package all is the registry of sinks: each type with its defaults. Everything else finds
// a sink through it: the configuration its settings, the pipeline its constructor, and the
// tests of this package its folder, its document and its conformance test.
//
// A new sink is a folder beside this one and a line in Kinds. Its Config implements
// sink.Config, so an operation that is missing does not compile.
package all

import (
	"slices"

	"keytrail/processor/sink"
	"keytrail/processor/sink/kafka"
	"keytrail/processor/sink/ndjson"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/sink/s3"
	"keytrail/processor/sink/search"
	"keytrail/processor/sink/sns"
	"keytrail/processor/sink/splunkhec"
	"keytrail/processor/sink/sqs"
	"keytrail/processor/sink/syslog"
	"keytrail/processor/sink/webhook"
	"keytrail/schemas/body"
)

// Type names a type of sinks in configurations.
type Type string

// The types that other code names.
const (
	OTLP          Type = "otlp"
	SplunkHEC     Type = "splunk_hec"
	Syslog        Type = "syslog"
	File          Type = "file"
	OpenSearch    Type = "opensearch"
	Elasticsearch Type = "elasticsearch"
	Webhook       Type = "webhook"
	Slack         Type = "slack"
	Teams         Type = "teams"
	PagerDuty     Type = "pagerduty"
	Alertmanager  Type = "alertmanager"
	S3            Type = "s3"
	SNS           Type = "sns"
	SQS           Type = "sqs"
	Kafka         Type = "kafka"
)

// Kind is one type of sinks.
type Kind struct {
	Type   Type
	Folder string // below processor/sink
	// Default returns a pointer to the type's Config with its defaults. Settings
	// without a default, such as an endpoint, are empty.
	Default func() sink.Config
	// InFlight bounds the batches that are on their way at the same time, from 1 to
	// sink.MaxInFlight. 1 is for a Sink that is not safe for concurrent use.
	InFlight int
	// Protocols and Bodies are shown by "keytrail sinks list": how the records travel, and
	// in which forms.
	Protocols, Bodies []string
}

// Kinds are all types of sinks, in the order in which errors list them. Not to be changed.
var Kinds = []Kind{
	{OTLP, "otlphttp", func() sink.Config { c := otlphttp.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"HTTP", "gRPC"}, []string{"OTLP protobuf"}},
	{SplunkHEC, "splunkhec", func() sink.Config { c := splunkhec.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"HTTP"}, splunkhec.Bodies()},
	{Syslog, "syslog", func() sink.Config { c := syslog.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"TLS", "TCP", "UDP"}, syslog.Bodies()},
	{File, "ndjson", func() sink.Config { c := ndjson.DefaultConfig(); return &c }, 1,
		[]string{"local file", "standard output"}, []string{"OTLP/JSON lines"}},
	{OpenSearch, "search", func() sink.Config { c := search.DefaultOpenSearch(); return &c }, sink.MaxInFlight,
		[]string{"_bulk"}, search.Bodies()},
	{Elasticsearch, "search", func() sink.Config { c := search.DefaultElasticsearch(); return &c }, sink.MaxInFlight,
		[]string{"_bulk"}, search.Bodies()},
	{Webhook, "webhook", func() sink.Config { c := webhook.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"HTTP"}, webhook.Bodies()},
	{Slack, "webhook", func() sink.Config { c := webhook.DefaultSlack(); return &c }, 1,
		[]string{"incoming webhook"}, []string{"Block Kit"}},
	{Teams, "webhook", func() sink.Config { c := webhook.DefaultTeams(); return &c }, 1,
		[]string{"workflow"}, []string{"adaptive card"}},
	{PagerDuty, "webhook", func() sink.Config { c := webhook.DefaultPagerDuty(); return &c }, sink.MaxInFlight,
		[]string{"Events API v2"}, []string{"event"}},
	{Alertmanager, "webhook", func() sink.Config { c := webhook.DefaultAlertmanager(); return &c }, sink.MaxInFlight,
		[]string{"API v2"}, []string{"alert"}},
	{S3, "s3", func() sink.Config { c := s3.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"PutObject"}, s3.Bodies()},
	{SNS, "sns", func() sink.Config { c := sns.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"PublishBatch"}, sns.Bodies()},
	{SQS, "sqs", func() sink.Config { c := sqs.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"SendMessageBatch"}, sqs.Bodies()},
	{Kafka, "kafka", func() sink.Config { c := kafka.DefaultConfig(); return &c }, sink.MaxInFlight,
		[]string{"Kafka, in transactions"}, body.Names()},
}

// Find returns a type of sinks, or false for one that does not exist.
func Find(t Type) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Type == t })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// Types returns the types of Kinds.
func Types() (list []Type) {
	for _, k := range Kinds {
		list = append(list, k.Type)
	}
	return list
}

// Default returns the default Config of a type, or nil for one that does not exist.
func Default(t Type) sink.Config {
	k, ok := Find(t)
	if !ok {
		return nil
	}
	return k.Default()
}
