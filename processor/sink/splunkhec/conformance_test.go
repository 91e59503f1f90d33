package splunkhec

import (
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

func TestConform(t *testing.T) {
	door := func(ack Ack) sinktest.Door {
		return sinktest.Door{
			HTTP: ack == AckOff,
			Receive: func(t *testing.T) sinktest.Receiver {
				h := newStandIn(t)
				h.acks = ack == AckRequire
				refuse := func(id string) {
					h.mu.Lock()
					defer h.mu.Unlock()
					h.refused = id
				}
				return sinktest.Receiver{Address: h.server.Listener.Addr().String(), Refuse: refuse,
					Stored: func(*testing.T) []string { return h.ids() }}
			},
			Open: func(t *testing.T, to sinktest.Target) sink.Sink {
				return (&standIn{url: to.URL()}).open(t, func(c *Config) { c.Ack, c.Timeout, c.TLS = ack, to.Timeout, to.TLS })
			},
		}
	}
	sinktest.Conform(t, "splunk_hec", door(AckOff))
	t.Run("with acknowledgements", func(t *testing.T) {
		d := door(AckRequire)
		d.Except = map[sinktest.Case]string{
			sinktest.Status:      "the statuses are those without acknowledgements",
			sinktest.Credentials: "the credentials are those without acknowledgements",
			sinktest.Advance:     "the requests are those without acknowledgements",
		}
		sinktest.Conform(t, "splunk_hec", d)
	})
}
