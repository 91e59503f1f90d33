// Package otelmetric encodes the counts of a window as OTLP metrics: delta sums that only
// grow, from the window's start to its end.
//
// A window counts once, at its first final record. Its later revisions stay in the logs:
// a delta sum cannot be corrected. Only windows of one scope count, because every call is
// in a window of each scope, and roll-ups count nothing again.
//
// Source: OpenTelemetry protocol specification 1.9,
// opentelemetry/proto/collector/metrics/v1/metrics_service.proto.
package otelmetric

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Names and units of the metrics. The units are UCUM annotations, as in the semantic
// conventions.
const (
	MetricCalls     = "keytrail.calls"
	MetricAnomalies = "keytrail.anomalies"
	unitCalls       = "{call}"
	unitAnomalies   = "{anomaly}"
)

// By is the attribute that splits the calls of a window, beside those of its entity.
type By string

// The attributes. A window counts outcomes and classes apart, so a metric has one of them.
const (
	ByNothing   By = ""
	ByOutcome   By = "outcome"
	ByOperation By = "operation"
)

// Field tags of opentelemetry/proto/metrics/v1/metrics.proto and what it includes: field
// number << 3 | wire type.
const (
	tagResourceMetrics = 1<<3 | 2 // ExportMetricsServiceRequest.resource_metrics
	tagResource        = 1<<3 | 2 // ResourceMetrics.resource
	tagScopeMetrics    = 2<<3 | 2 // ResourceMetrics.scope_metrics
	tagScope           = 1<<3 | 2 // ScopeMetrics.scope
	tagMetrics         = 2<<3 | 2 // ScopeMetrics.metrics
	tagName            = 1<<3 | 2 // Metric.name, InstrumentationScope.name
	tagVersion         = 2<<3 | 2 // InstrumentationScope.version
	tagUnit            = 3<<3 | 2 // Metric.unit
	tagSum             = 7<<3 | 2 // Metric.sum
	tagPoints          = 1<<3 | 2 // Sum.data_points
	tagTemporality     = 2<<3 | 0 // Sum.aggregation_temporality
	tagMonotonic       = 3<<3 | 0 // Sum.is_monotonic
	tagStart           = 2<<3 | 1 // NumberDataPoint.start_time_unix_nano
	tagTime            = 3<<3 | 1 // NumberDataPoint.time_unix_nano
	tagInt             = 6<<3 | 1 // NumberDataPoint.as_int
	tagPointAttrs      = 7<<3 | 2 // NumberDataPoint.attributes
	tagResourceAttrs   = 1<<3 | 2 // Resource.attributes
	tagKey             = 1<<3 | 2 // KeyValue.key
	tagValue           = 2<<3 | 2 // KeyValue.value
	tagString          = 1<<3 | 2 // AnyValue.string_value

	temporalityDelta = 1
)

// Encoder encodes windows of one scope. It is not safe for concurrent use.
type Encoder struct {
	Scope string // "key", "principal" or "pair"
	By    By

	rec    *otellog.Record
	attrs  []pair // of the data points at work
	points int
}

// pair is one attribute of a data point.
type pair struct{ name, value string }

// classes are the counts of a window by class of operations, and the classes. Changes of
// trails are not counted as calls.
var classes = []pair{
	{semconv.KeytrailWindowCallsEncrypt, "encrypt"}, {semconv.KeytrailWindowCallsDecrypt, "decrypt"},
	{semconv.KeytrailWindowCallsGenerate, "generate"}, {semconv.KeytrailWindowCallsReencrypt, "reencrypt"},
	{semconv.KeytrailWindowCallsSign, "sign"}, {semconv.KeytrailWindowCallsVerify, "verify"},
	{semconv.KeytrailWindowCallsMac, "mac"}, {semconv.KeytrailWindowCallsRandom, "random"},
	{semconv.KeytrailWindowCallsDerive, "derive"}, {semconv.KeytrailWindowCallsRead, "read"},
	{semconv.KeytrailWindowCallsManage, "manage"}, {semconv.KeytrailWindowCallsGrant, "grant"},
	{semconv.KeytrailWindowCallsDestroy, "destroy"}, {semconv.KeytrailWindowCallsPolicy, "policy"},
	{semconv.KeytrailWindowCallsRotate, "rotate"}, {semconv.KeytrailWindowCallsReplicate, "replicate"},
}

// Append appends the ExportMetricsServiceRequest of a log record and returns the number of
// its data points. It appends nothing for a record that is not the first final one of a
// window of the scope. Requests that stand end to end are one request. The error says what
// the record lacks. Append neither changes r nor keeps any of it.
func (e *Encoder) Append(dst []byte, r *otellog.Record) (request []byte, points int, err error) {
	if e.rec, e.points = r, 0; !e.counts() {
		return dst, 0, nil
	}
	start, err := e.instant(semconv.KeytrailWindowStart)
	if err != nil {
		return dst, 0, err
	}
	end, err := e.instant(semconv.KeytrailWindowEnd)
	if err != nil {
		return dst, 0, err
	}
	e.attrs = e.attrs[:0]
	// An alias has the key ARN of its KMS key, whose own window would be the same point.
	for _, name := range [...]string{semconv.AWSKMSKeyARN, semconv.AWSKMSAliasARN, semconv.KeytrailPrincipalID} {
		if value := r.Str(name); value != "" {
			e.attrs = append(e.attrs, pair{name, value})
		}
	}
	dst = message(dst, tagResourceMetrics, func(dst []byte) []byte {
		dst = message(dst, tagResource, func(dst []byte) []byte {
			for i := range r.Resource {
				dst = attribute(dst, tagResourceAttrs, pair{r.Resource[i].Key, r.Resource[i].Str})
			}
			return dst
		})
		return message(dst, tagScopeMetrics, func(dst []byte) []byte {
			dst = message(dst, tagScope, func(dst []byte) []byte {
				return text(text(dst, tagName, otellog.ScopeName), tagVersion, otellog.SchemaVersion)
			})
			dst = metric(dst, MetricCalls, unitCalls, func(dst []byte) []byte { return e.calls(dst, start, end) })
			return metric(dst, MetricAnomalies, unitAnomalies, func(dst []byte) []byte {
				return e.point(dst, start, end, e.count(semconv.KeytrailWindowAnomaliesTotal), pair{})
			})
		})
	})
	return dst, e.points, nil
}

// counts reports whether the record is the first final one of a window of the scope, with
// something to count.
func (e *Encoder) counts() bool {
	r := e.rec
	return r.EventName == semconv.EventKeytrailWindow && r.Str(semconv.KeytrailWindowScope) == e.Scope &&
		r.Str(semconv.KeytrailWindowState) == "final" && e.count(semconv.KeytrailWindowRevision) == 1 &&
		r.Get(semconv.KeytrailWindowRollup) == nil &&
		e.count(semconv.KeytrailWindowCallsTotal)+e.count(semconv.KeytrailWindowAnomaliesTotal) > 0
}

// count returns an integer attribute of the window; absent is 0.
func (e *Encoder) count(name string) int64 {
	if a := e.rec.Get(name); a != nil {
		return a.Int
	}
	return 0
}

// instant returns the time that an attribute of the window holds, in ns since 1970.
func (e *Encoder) instant(name string) (int64, error) {
	t, err := time.Parse(time.RFC3339, e.rec.Str(name))
	if err != nil {
		return 0, fmt.Errorf("the window %q has no time in %s: %w", e.rec.Str(semconv.KeytrailWindowID), name, err)
	}
	return t.UnixNano(), nil
}

// metric appends a delta sum that only grows, and nothing for one without a point.
func metric(dst []byte, name, unit string, points func(dst []byte) []byte) []byte {
	before, empty := len(dst), false
	dst = message(dst, tagMetrics, func(dst []byte) []byte {
		dst = text(text(dst, tagName, name), tagUnit, unit)
		return message(dst, tagSum, func(dst []byte) []byte {
			from := len(dst)
			dst = points(dst)
			empty = len(dst) == from
			return append(dst, tagTemporality, temporalityDelta, tagMonotonic, 1)
		})
	})
	if empty {
		return dst[:before]
	}
	return dst
}

// calls appends the points of keytrail.calls: one for the window, or one for each outcome
// or class that occurred. Their sum is the window's total.
func (e *Encoder) calls(dst []byte, start, end int64) []byte {
	total := e.count(semconv.KeytrailWindowCallsTotal)
	switch e.By {
	case ByOutcome:
		denied, failed := e.count(semconv.KeytrailWindowDenied), e.count(semconv.KeytrailWindowFailed)
		dst = e.point(dst, start, end, total-denied-failed, pair{semconv.KeytrailOutcome, "ok"})
		dst = e.point(dst, start, end, denied, pair{semconv.KeytrailOutcome, "denied"})
		return e.point(dst, start, end, failed, pair{semconv.KeytrailOutcome, "failed"})
	case ByOperation:
		for _, c := range classes {
			dst = e.point(dst, start, end, e.count(c.name), pair{semconv.KeytrailOperationClass, c.value})
		}
		return dst
	}
	return e.point(dst, start, end, total, pair{})
}

// point appends a data point with the entity's attributes and one more, unless it is 0.
func (e *Encoder) point(dst []byte, start, end, n int64, more pair) []byte {
	if n <= 0 {
		return dst
	}
	e.points++
	return message(dst, tagPoints, func(dst []byte) []byte {
		dst = fixed(fixed(fixed(dst, tagStart, start), tagTime, end), tagInt, n)
		for _, p := range e.attrs {
			dst = attribute(dst, tagPointAttrs, p)
		}
		if more.name != "" {
			dst = attribute(dst, tagPointAttrs, more)
		}
		return dst
	})
}

// message appends a field that holds what body appends.
func message(dst []byte, tag byte, body func(dst []byte) []byte) []byte {
	dst = append(dst, tag)
	from := len(dst)
	dst = body(dst)
	var length [binary.MaxVarintLen64]byte
	return slices.Insert(dst, from, length[:binary.PutUvarint(length[:], uint64(len(dst)-from))]...)
}

func text(dst []byte, tag byte, s string) []byte {
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(s))), s...)
}

func fixed(dst []byte, tag byte, n int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, tag), uint64(n))
}

// attribute appends a KeyValue with a text. Protobuf wants UTF-8.
func attribute(dst []byte, tag byte, p pair) []byte {
	return message(dst, tag, func(dst []byte) []byte {
		dst = text(dst, tagKey, p.name)
		return message(dst, tagValue, func(dst []byte) []byte {
			return text(dst, tagString, strings.ToValidUTF8(p.value, "\ufffd"))
		})
	})
}
