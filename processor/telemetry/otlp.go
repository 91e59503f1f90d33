package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"

	"keytrail/processor/setting"
)

// OTLP configures the export of the metrics, of the log and of traces by OTLP over HTTP:
// beside the server and standard error.
type OTLP struct {
	// Endpoint is the base URL of a collector, such as "http://127.0.0.1:4318"; "", the
	// default, exports nothing. Metrics go to /v1/metrics below it, the log to /v1/logs.
	Endpoint string `yaml:"endpoint"`
	// Logs exports the log as well, each line as a record.
	Logs bool `yaml:"logs"`
	// Traces is the share of batches that are traced, from 0, the default, to 1: spans of the
	// stages go to /v1/traces. Batches of a traced record are traced as well.
	Traces float64 `yaml:"traces"`
	// Headers are sent with each request.
	Headers map[string]setting.Secret `yaml:"headers"`
	// Interval is the time between two exports: 1s to 1h.
	Interval time.Duration `yaml:"interval"`
	// Insecure allows an http URL that leads beyond this machine.
	Insecure bool `yaml:"insecure"`
}

// validate adds the unusable settings to p.
func (o *OTLP) validate(p *setting.Problems) {
	setting.Between(p, "otlp.interval", o.Interval, time.Second, time.Hour)
	if !(o.Traces >= 0 && o.Traces <= 1) {
		p.Add("otlp.traces", "%v is out of range; allowed: 0 to 1", o.Traces)
	}
	if o.Endpoint == "" {
		if o.Traces > 0 {
			p.Add("otlp.traces", "%v needs otlp.endpoint", o.Traces)
		}
		if o.Logs {
			p.Add("otlp.logs", "true needs otlp.endpoint")
		}
		return
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		// The error of url.Parse repeats the URL, which may hold a password.
		p.Add("otlp.endpoint", `is not an http or https URL; write one such as "http://127.0.0.1:4318"`)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		p.Add("otlp.endpoint", "holds a user, a query or a fragment; put credentials into otlp.headers")
	case u.Scheme == "http" && !o.Insecure && !loopback(u.Hostname()):
		p.Add("otlp.endpoint", "%q leads beyond this machine without TLS; use https, or set otlp.insecure: true", o.Endpoint)
	}
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// headers returns the headers of each request.
func (o *OTLP) headers() map[string]string {
	headers := map[string]string{}
	for name, secret := range o.Headers {
		headers[name] = secret.Reveal()
	}
	return headers
}

// options returns what the meter provider needs to export: nothing without an endpoint.
func (o *OTLP) options(ctx context.Context) ([]sdk.Option, error) {
	if o.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("cannot export metrics: %w", err)
	}
	exporter, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(u.JoinPath("v1/metrics").String()),
		otlpmetrichttp.WithHeaders(o.headers()), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		return nil, fmt.Errorf("cannot export metrics: %w", err)
	}
	return []sdk.Option{sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(o.Interval))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "keytrail")))}, nil
}
