package telemetry

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// HeaderTrace is the Kafka header of a record that a traced batch made: W3C Trace Context.
// Records of other batches have none.
const HeaderTrace = "traceparent"

// The bounds of traces: spans that wait for the collector, beyond which spans are lost, and
// links of one span.
const (
	mostSpans = 2048
	mostLinks = 32
)

// Traces starts the spans of batches. A nil *Traces traces nothing. It is safe for concurrent
// use.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	share    float64
	random   func() float64 // in [0, 1)
}

// newTraces returns what o configures: nil without traces.
func newTraces(ctx context.Context, o *OTLP) (*Traces, error) {
	if o.Endpoint == "" || o.Traces == 0 {
		return nil, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1/traces").String()),
		otlptracehttp.WithHeaders(o.headers()), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		return nil, err
	}
	limits := sdktrace.NewSpanLimits()
	limits.LinkCountLimit = mostLinks
	t := &Traces{share: o.Traces, random: rand.Float64}
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "keytrail"))),
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(mostSpans), sdktrace.WithExportTimeout(10*time.Second)))
	t.tracer = t.provider.Tracer("keytrail")
	return t, nil
}

// shutdown exports the spans that wait, as long as ctx allows.
func (t *Traces) shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Traces returns the traces of the process; nil if it exports none.
func (t *Telemetry) Traces() *Traces { return t.traces }

// Batch is one batch of records in a stage. It has a span if it was sampled, or once it has
// taken a record of a batch that has one. The nil *Batch has none. It is not safe for
// concurrent use.
type Batch struct {
	t      *Traces
	name   string
	attrs  []attribute.KeyValue
	began  time.Time
	span   trace.Span // nil: unsampled
	links  int
	header []byte
}

// Begin begins a batch of a stage that reads from a topic, or from another place, and may
// have a sink's name. A stage where events enter samples its batches itself; the others follow.
func (t *Traces) Begin(stage, from, sink string, enters bool) *Batch {
	if t == nil {
		return nil
	}
	b := &Batch{t: t, name: stage, began: time.Now(), attrs: []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.destination.name", from), attribute.String("keytrail.stage", stage)}}
	if sink != "" {
		b.attrs = append(b.attrs, attribute.String("keytrail.sink", sink))
	}
	if enters && t.random() < t.share {
		b.start()
	}
	return b
}

func (b *Batch) start() {
	_, b.span = b.t.tracer.Start(context.Background(), b.name, trace.WithTimestamp(b.began), trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(b.attrs...))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), b.span), carrier)
	b.header = []byte(carrier[HeaderTrace])
}

// Took notes the value of HeaderTrace of a record that the batch has taken.
func (b *Batch) Took(header []byte) {
	if b == nil || b.links >= mostLinks {
		return
	}
	carrier := propagation.MapCarrier{HeaderTrace: string(header)}
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	if !from.IsSampled() {
		return
	}
	if b.span == nil {
		b.start()
	}
	b.links++
	b.span.AddLink(trace.Link{SpanContext: from})
}

// Header returns the value of HeaderTrace for records that the batch makes, which must not
// change; nil if the batch has no span.
func (b *Batch) Header() []byte {
	if b == nil {
		return nil
	}
	return b.header
}

// errAborted is the error of a batch that comes again.
var errAborted = errors.New("not committed: the batch comes again")

// End ends the batch with the number of its records and an error, if it failed. A second call
// does nothing.
func (b *Batch) End(records int, err error) {
	if b == nil || b.span == nil {
		return
	}
	b.span.SetAttributes(attribute.Int("messaging.batch.message_count", records))
	if err != nil { // its text may repeat a receiver's answer
		b.span.SetStatus(codes.Error, "failed; the log has the error")
	}
	b.span.End()
	b.span, b.header = nil, nil
}

// Abort ends the batch as one that comes again.
func (b *Batch) Abort(records int) { b.End(records, errAborted) }
