package ndjson

import (
	"strings"
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

func TestConform(t *testing.T) {
	const local = "a file has no network"
	var c Config // the suite opens one sink for a receiver
	sinktest.Conform(t, "file", sinktest.Door{
		Serial: true,
		Receive: func(t *testing.T) sinktest.Receiver {
			c = at(t)
			return sinktest.Receiver{Stored: func(t *testing.T) []string { return strings.Fields(idsIn(t, c.Path)) }}
		},
		Open: func(t *testing.T, _ sinktest.Target) sink.Sink { return open(t, c) },
		Except: map[sinktest.Case]string{
			sinktest.Status: local, sinktest.Credentials: local, sinktest.Lost: local, sinktest.HalfOpen: local,
			sinktest.Slow: local, sinktest.Endless: local, sinktest.Restart: local, sinktest.BadTLS: local, sinktest.Client: local,
			sinktest.Advance: "a file takes a batch or nothing of it",
			sinktest.Partial: "a file refuses no record",
		},
	})
}
