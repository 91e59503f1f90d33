package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/receiver"
)

// feedConfig is that of the receiver feed.
type feedConfig struct {
	// Path is a file of OTLP requests, each behind its length in 4 bytes, big endian.
	Path string `mapstructure:"path"`
	// Workers is how many requests are on their way at the same time.
	Workers int `mapstructure:"workers"`
}

// newFeedFactory returns the receiver feed. It hands the requests of a file to the pipeline,
// from memory, and prints the CPU and the wall-clock time that they took, in nanoseconds.
func newFeedFactory() receiver.Factory {
	open := func(_ context.Context, _ receiver.Settings, c component.Config, next consumer.Logs) (receiver.Logs, error) {
		return &feed{config: *c.(*feedConfig), next: next}, nil
	}
	return receiver.NewFactory(component.MustNewType("feed"), func() component.Config { return &feedConfig{Workers: 1} },
		receiver.WithLogs(open, component.StabilityLevelDevelopment))
}

type feed struct {
	config feedConfig
	next   consumer.Logs
}

// Start reads the file and begins.
func (f *feed) Start(context.Context, component.Host) error {
	text, err := os.ReadFile(f.config.Path)
	if err != nil {
		return err
	}
	requests := make(chan []byte, len(text)/4+1)
	for len(text) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(text))
		requests <- text[4:n]
		text = text[n:]
	}
	close(requests)
	go func() {
		began, busy := time.Now(), cpuTime()
		err := f.work(requests)
		fmt.Println(int64(cpuTime()-busy), int64(time.Since(began)), err)
	}()
	return nil
}

// work hands the requests over, several at a time.
func (f *feed) work(requests <-chan []byte) error {
	var all sync.WaitGroup
	failed := make([]error, f.config.Workers)
	for i := range f.config.Workers {
		all.Go(func() {
			for text := range requests {
				request := plogotlp.NewExportRequest()
				err := request.UnmarshalProto(text)
				if err == nil {
					err = f.next.ConsumeLogs(context.Background(), request.Logs())
				}
				failed[i] = errors.Join(failed[i], err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// Shutdown does nothing: the program ends.
func (*feed) Shutdown(context.Context) error { return nil }

// cpuTime returns the CPU time of all threads of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails on a wrong argument only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
