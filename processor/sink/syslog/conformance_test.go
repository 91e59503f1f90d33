package syslog

import (
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

func TestConform(t *testing.T) {
	sinktest.Conform(t, "syslog", sinktest.Door{
		Receive: func(t *testing.T) sinktest.Receiver {
			r := newStandIn(t, schemeTCP, true)
			return sinktest.Receiver{Address: r.address, Stored: func(*testing.T) []string { return r.ids() }}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			r := &standIn{scheme: schemeTCP, address: to.Address, octet: true}
			if to.Secured {
				r.scheme = schemeTLS
			}
			return r.open(t, func(c *Config) { c.Timeout, c.TLS = to.Timeout, to.TLS })
		},
		Except: map[sinktest.Case]string{
			sinktest.Status:      "a syslog receiver says nothing",
			sinktest.Credentials: "syslog knows none but client certificates",
			sinktest.Advance:     "a syslog receiver reads a batch, or it is sent again as a whole",
			sinktest.Partial:     "a syslog receiver cannot refuse a message",
		},
	})
}
