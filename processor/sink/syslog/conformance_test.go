package syslog

import (
	"testing"
	"time"

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

// TestConformUDP: nothing answers a datagram, so of the faults of a network only a closed port
// shows.
func TestConformUDP(t *testing.T) {
	var r *standIn // the suite opens one sink for a receiver
	except := map[sinktest.Case]string{sinktest.Restart: "see TestDatagrams"}
	for _, c := range []sinktest.Case{sinktest.Status, sinktest.Credentials, sinktest.Partial, sinktest.Lost, sinktest.HalfOpen,
		sinktest.Slow, sinktest.Advance, sinktest.Endless, sinktest.BadTLS, sinktest.Client} {
		except[c] = "UDP has no answer, no connection and no encryption"
	}
	sinktest.Conform(t, "syslog", sinktest.Door{
		Receive: func(t *testing.T) sinktest.Receiver {
			r = newStandIn(t, schemeUDP, false)
			return sinktest.Receiver{Stored: func(*testing.T) []string {
				for n := -1; n < len(r.ids()); time.Sleep(100 * time.Millisecond) { // until no others come
					n = len(r.ids())
				}
				return r.ids()
			}}
		},
		Open:   func(t *testing.T, _ sinktest.Target) sink.Sink { return r.open(t, nil) },
		Except: except,
	})
}
