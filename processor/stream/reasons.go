package stream

import (
	"keytrail/processor/sink"
	"keytrail/schemas/decoding"
)

// The reasons of the stages' dead letters, whose counters exist from the start. Stage
// normalize adds those of package decoding.
var (
	countReasons  = []string{"bad_record", "no_call", "old_schema", "bad_time", "late", "future"}
	detectReasons = []string{"bad_frame", "late_notice", "too_many", "no_correlation"}
)

func normalizeReasons() (list []string) {
	for _, r := range decoding.Reasons() {
		list = append(list, string(r))
	}
	return list
}

// reasonRefused is the reason of a record that stage collect or normalize published by itself,
// and that Kafka refused for its own sake.
const reasonRefused decoding.Reason = "refused_by_kafka"

// collectReasons are those of the stages that publish events.
func collectReasons() []string { return append(normalizeReasons(), string(reasonRefused)) }

func forwardReasons() (list []string) {
	for _, r := range sink.Reasons() {
		list = append(list, string(r))
	}
	return list
}
