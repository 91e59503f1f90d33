// Package telemetry provides Keytrail's metrics and health: it counts with the
// OpenTelemetry SDK, serves the counts to Prometheus, and answers a supervisor's probes.
//
// Names are keytrail_<component>_<noun>_<unit|total>. Labels are the stage, the sink, a
// reason, a kind, a state, a cause or an outcome, from small fixed sets, a partition, or an
// account and Region that the configuration lists: never a value of an event, such as a KMS
// key or an ARN, whose number is unbounded. The names of Kafka's clients are those of the
// semantic conventions of messaging.
//
// The counters obey one law, which Balance checks: in each stage, every received record
// is delivered, dead-lettered, filtered, a duplicate, or in flight.
//
// Counts live in memory and begin at 0 with the process, as Prometheus expects. The
// server speaks plain HTTP without authentication; it bounds time, headers and concurrent
// requests.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Path is the path of the metrics on Config.Listen.
const Path = "/metrics"

// Telemetry holds the metrics of one process. It is safe for concurrent use.
type Telemetry struct {
	reader             *exporter.Exporter
	provider           *sdk.MeterProvider
	registry           *prometheus.Registry
	inst               instruments
	windows, anomalies labeled
	reloads            labeled
	rules              rules
	levels             levels
	health             *Health
	traces             *Traces
	server             *http.Server
	mux                *http.ServeMux
	address            net.Addr
	served             chan error // the server's final error; nil without a server
}

// New returns a Telemetry that counts, and serves if c.Listen is an address. It is
// listening when New returns. ctx bounds New only; Shutdown ends the rest.
func New(ctx context.Context, c Config) (*Telemetry, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot start telemetry: %w", err)
	}
	t := &Telemetry{registry: prometheus.NewRegistry(), health: NewHealth()}
	t.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var err error
	t.reader, err = exporter.New(exporter.WithRegisterer(t.registry),
		exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("cannot start telemetry: %w", err)
	}
	options, err := c.OTLP.options(ctx)
	if err != nil {
		return nil, err
	}
	if t.traces, err = newTraces(ctx, &c.OTLP); err != nil {
		return nil, fmt.Errorf("cannot export traces: %w", err)
	}
	t.provider = sdk.NewMeterProvider(append(options, sdk.WithReader(t.reader))...)
	if t.inst, err = newInstruments(t.Meter()); err != nil {
		return nil, fmt.Errorf("cannot start telemetry: %w", err)
	}
	if t.levels, err = newLevels(t.Meter()); err != nil {
		return nil, fmt.Errorf("cannot start telemetry: %w", err)
	}
	t.windows = labeled{counter: t.inst.windows, label: labelState}
	t.anomalies = labeled{counter: t.inst.anomalies, label: labelKind}
	if err := t.newRules(); err != nil {
		return nil, fmt.Errorf("cannot start telemetry: %w", err)
	}
	if c.Listen != "" {
		if err := t.serve(ctx, c.Listen); err != nil {
			return nil, errors.Join(err, t.provider.Shutdown(ctx))
		}
	}
	return t, nil
}

// Meter returns the meter of all Keytrail metrics.
func (t *Telemetry) Meter() metric.Meter { return t.provider.Meter("keytrail") }

// Health returns the health of the process's parts.
func (t *Telemetry) Health() *Health { return t.health }

// Handler serves the metrics in Prometheus' text format or OpenMetrics, by content
// negotiation.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		// A scrape takes milliseconds and a few hundred KiB; Prometheus sends one at a
		// time. More than 4 at once get 503.
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// serve starts the metrics server.
func (t *Telemetry) serve(ctx context.Context, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("cannot serve metrics: %w; set telemetry.listen to a free address", err)
	}
	t.mux = http.NewServeMux()
	t.mux.Handle("GET "+Path, t.Handler())
	t.mux.HandleFunc("GET "+ReadyPath, t.health.serveReady)
	for _, path := range []string{HealthPath, LivePath} {
		t.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("alive\n")) })
	}
	t.server = &http.Server{
		Handler:           t.mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	t.address, t.served = listener.Addr(), make(chan error, 1)
	go func() { t.served <- t.server.Serve(listener) }()
	return nil
}

// Handle serves the paths below a prefix, such as "/api/", with h. Without a server it does
// nothing.
func (t *Telemetry) Handle(prefix string, h http.Handler) {
	if t.mux != nil {
		t.mux.Handle(prefix, h)
	}
}

// Addr returns the address of the metrics server; nil without one.
func (t *Telemetry) Addr() net.Addr { return t.address }

// Shutdown stops the server, waiting for running requests until ctx is done, and ends
// counting: later counts are dropped. A second call does nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var err error
	if t.server != nil {
		err = t.server.Shutdown(ctx)
		if ended := <-t.served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		t.server = nil
	}
	err = errors.Join(err, t.traces.shutdown(ctx))
	if e := t.provider.Shutdown(ctx); e != nil && !errors.Is(e, sdk.ErrReaderShutdown) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("cannot end telemetry: %w", err)
	}
	return nil
}
