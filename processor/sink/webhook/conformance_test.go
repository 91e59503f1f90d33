package webhook

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// These find the ids of anomalies in messages of every type, by the command that each has,
// and those of records.
var (
	explained = regexp.MustCompile(`keytrail explain ([a-z0-9-]+) -c`)
	recorded  = regexp.MustCompile(`"log.record.uid":"([a-z0-9-]+)"`)
)

// door returns a type of sinks for the conformance suite.
func door(r receiver, id *regexp.Regexp, upserts bool, except map[sinktest.Case]string) sinktest.Door {
	return sinktest.Door{
		HTTP: true, Upserts: upserts, Except: except,
		Receive: func(t *testing.T) sinktest.Receiver {
			h := newStandIn(t, r.took, r.check)
			return sinktest.Receiver{
				Address: strings.TrimPrefix(h.url, "http://"),
				Refuse: func(poison string) {
					h.mu.Lock()
					defer h.mu.Unlock()
					h.answer = func(_ int, content []byte) string {
						if bytes.Contains(content, []byte(poison)) {
							return "400 no " + poison
						}
						return ""
					}
				},
				Stored: func(*testing.T) (list []string) {
					h.mu.Lock()
					defer h.mu.Unlock()
					seen := map[string]bool{}
					for _, content := range h.taken {
						for _, m := range id.FindAllSubmatch(content, -1) {
							if name := string(m[1]); !upserts || !seen[name] {
								seen[name] = true
								list = append(list, name)
							}
						}
					}
					return list
				},
			}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			c := r.at(to.URL(), to.Timeout)
			switch c := c.(type) {
			case *Config:
				c.TLS = to.TLS
			case *Slack:
				c.TLS = to.TLS
			case *Teams:
				c.TLS = to.TLS
			case *PagerDuty:
				c.TLS = to.TLS
			case *Alertmanager:
				c.TLS = to.TLS
			}
			s, err := c.Open(sink.Identity{})
			if err != nil {
				t.Fatal(err)
			}
			s.(*Sink).pace = nil
			return s
		},
	}
}

func TestConform(t *testing.T) {
	types := map[string]receiver{}
	for _, r := range receivers() {
		types[r.name] = r
	}
	digest := map[sinktest.Case]string{
		sinktest.Slow: "a message lists ten anomalies and counts the others, as TestFlood and TestRest show",
	}
	sinktest.Conform(t, "slack", door(types["slack"], explained, false, digest))
	sinktest.Conform(t, "teams", door(types["teams"], explained, false, digest))
	sinktest.Conform(t, "pagerduty", door(types["pagerduty"], explained, true, nil))
	sinktest.Conform(t, "alertmanager", door(types["alertmanager"], explained, true, nil))
	sinktest.Conform(t, "webhook", door(generic(), recorded, false, nil))
}

// generic is the type webhook with a receiver that takes everything.
func generic() receiver {
	return receiver{took: "204 ", check: func([]byte) error { return nil }, at: func(url string, limit time.Duration) sink.Config {
		c := DefaultConfig()
		c.URL, c.Timeout = setting.NewSecret(url), limit
		return &c
	}}
}

// TestTurn: each request is one Deliver if the turn is over.
func TestTurn(t *testing.T) {
	for _, d := range []sinktest.Door{door(generic(), recorded, false, nil), door(receivers()[2], explained, false, nil)} {
		to := d.Receive(t)
		s := d.Open(t, sinktest.Target{Address: to.Address, Timeout: time.Minute})
		s.(*Sink).turn = 0
		sinktest.Turns(t, s, []string{"a", "b", "c", "d"}, func() []string { return to.Stored(t) })
	}
}
