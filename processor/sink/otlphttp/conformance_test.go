package otlphttp

import (
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

func TestConform(t *testing.T) {
	sinktest.Conform(t, "otlp", sinktest.Door{
		HTTP: true,
		Receive: func(t *testing.T) sinktest.Receiver {
			r := newReceiver(t, nil)
			return sinktest.Receiver{Address: r.Listener.Addr().String(), Stored: r.ids, Refuse: r.refuse}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			return open(t, to.URL(), func(c *Config) { c.Timeout, c.TLS = to.Timeout, to.TLS })
		},
	})
}
