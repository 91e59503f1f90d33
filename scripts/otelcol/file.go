package main

import (
	"context"
	"errors"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
)

// config is that of the exporter file. The exporter of that name in the collector's contrib
// repository writes the same lines.
type config struct {
	Path string `mapstructure:"path"`
}

// Validate checks the configuration.
func (c *config) Validate() error {
	if c.Path == "" {
		return errors.New("path is missing; want the name of a file")
	}
	return nil
}

func newFileFactory() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("file"), func() component.Config { return &config{} },
		exporter.WithLogs(func(_ context.Context, _ exporter.Settings, c component.Config) (exporter.Logs, error) {
			return &file{path: c.(*config).Path}, nil
		}, component.StabilityLevelDevelopment))
}

// file appends one line per batch of log records to a file.
type file struct {
	path string

	mu  sync.Mutex
	out *os.File // guarded by mu
}

// Start opens the file.
func (f *file) Start(context.Context, component.Host) (err error) {
	f.out, err = os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return err
}

// Shutdown closes the file.
func (f *file) Shutdown(context.Context) error {
	if f.out == nil {
		return nil
	}
	return f.out.Close()
}

// Capabilities returns that ConsumeLogs does not change its argument.
func (*file) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeLogs appends one line.
func (f *file) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	line, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err = f.out.Write(append(line, '\n'))
	return err
}
