package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

// mostLines bounds the lines of the log that wait for the collector. Further ones are lost to
// it, counted, and still on standard error.
const mostLines = 2048

// Logs is the log of a process: lines on standard error, and where it is configured also
// records that go to a collector. A collector that is slow or away delays nobody. It is
// safe for concurrent use.
type Logs struct {
	*slog.Logger

	local    *slog.Logger // standard error alone
	level    *slog.LevelVar
	clean    func(string) string
	provider *sdk.LoggerProvider // nil: no collector
	failing  atomic.Bool

	waiting, exported, lost atomic.Int64
}

// NewLogs returns a log that writes to w, and exports, as c says. It sets level, which may
// change later. clean removes secrets from the texts that are exported; w removes them from
// its own. Shutdown ends the export.
func NewLogs(
	ctx context.Context, w io.Writer, c Config, level *slog.LevelVar, clean func(string) string,
) (*Logs, error) {
	level.Set(c.Log.Level.Slog())
	l := &Logs{level: level, clean: clean}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if c.Log.Format == FormatJSON {
		handler = slog.NewJSONHandler(w, options)
	}
	l.local = slog.New(handler)
	l.Logger = l.local
	if c.OTLP.Endpoint == "" || !c.OTLP.Logs {
		return l, nil
	}
	u, err := url.Parse(c.OTLP.Endpoint)
	if err != nil {
		return nil, err
	}
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(u.JoinPath("v1/logs").String()),
		otlploghttp.WithHeaders(c.OTLP.headers()), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	if err != nil {
		return nil, err
	}
	batch := sdk.NewBatchProcessor(counting{exporter, l}, sdk.WithMaxQueueSize(mostLines),
		sdk.WithExportInterval(time.Second), sdk.WithExportTimeout(10*time.Second))
	l.provider = sdk.NewLoggerProvider(sdk.WithProcessor(bounding{batch, l}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "keytrail"))))
	exported := otelslog.NewHandler("keytrail", otelslog.WithLoggerProvider(l.provider))
	l.Logger = slog.New(slog.NewMultiHandler(handler, exported))
	return l, nil
}

// Shutdown exports the lines that wait, as long as ctx allows, and ends the export.
func (l *Logs) Shutdown(ctx context.Context) error {
	if l.provider == nil {
		return nil
	}
	return l.provider.Shutdown(ctx)
}

// Count adds the exported and the lost lines to the metrics of t.
func (l *Logs) Count(t *Telemetry) error {
	c, err := t.Meter().Int64ObservableCounter(nameLogLines,
		metric.WithDescription("Lines of the log that went to the collector, or were lost to it."))
	if err != nil {
		return err
	}
	_, err = t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(c, l.exported.Load(), metric.WithAttributes(attribute.String(labelOutcome, "exported")))
		o.ObserveInt64(c, l.lost.Load(), metric.WithAttributes(attribute.String(labelOutcome, "lost")))
		return nil
	}, c)
	return err
}

// bounding drops records below the level, and those for which the queue has no room.
type bounding struct {
	sdk.Processor
	l *Logs
}

// Enabled reports whether a record of the severity is exported.
func (b bounding) Enabled(_ context.Context, p sdk.EnabledParameters) bool {
	// The severities of OpenTelemetry are 9 above those of slog, as otelslog maps them.
	return slog.Level(p.Severity-9) >= b.l.level.Level()
}

// OnEmit puts a record without secrets into the queue, and never waits.
func (b bounding) OnEmit(ctx context.Context, r *sdk.Record) error {
	if b.l.waiting.Add(1) > mostLines {
		b.l.waiting.Add(-1)
		b.l.lost.Add(1)
		return nil
	}
	r.SetBody(attribute.StringValue(b.l.clean(r.Body().AsString())))
	var list []attribute.KeyValue
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		if kv.Value.Type() != attribute.INT64 && kv.Value.Type() != attribute.FLOAT64 && kv.Value.Type() != attribute.BOOL {
			kv.Value = attribute.StringValue(b.l.clean(kv.Value.String()))
		}
		list = append(list, kv)
		return true
	})
	r.SetAttributes(list...)
	return b.Processor.OnEmit(ctx, r)
}

// counting counts what the collector took.
type counting struct {
	sdk.Exporter
	l *Logs
}

// Export sends records. A failure is told on standard error once, until one succeeds: as a
// line that is exported it would fail again.
func (c counting) Export(ctx context.Context, records []sdk.Record) error {
	err := c.Exporter.Export(ctx, records)
	c.l.waiting.Add(-int64(len(records)))
	if err != nil {
		c.l.lost.Add(int64(len(records)))
		if !c.l.failing.Swap(true) {
			c.l.local.Warn("the log cannot be exported; check telemetry.otlp", "error", err, "lost", len(records))
		}
		return nil
	}
	c.l.exported.Add(int64(len(records)))
	if c.l.failing.Swap(false) {
		c.l.local.Info("the log is exported again", "lost", c.l.lost.Load())
	}
	return nil
}
