package sqs

import (
	"strings"
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/source/aws/awstest"
)

func TestConform(t *testing.T) {
	sinktest.Conform(t, "sqs", sinktest.Door{
		HTTP: true,
		Receive: func(t *testing.T) sinktest.Receiver {
			m := &awstest.Messages{}
			address := strings.TrimPrefix(m.Start(t), "http://")
			return sinktest.Receiver{Address: address, Refuse: m.Refuse, Busy: m.Busy, Stored: func(t *testing.T) (list []string) {
				for _, one := range m.Taken() {
					list = append(list, one.Attributes["event_id"])
				}
				return list
			}}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			for name, value := range awstest.Environment {
				t.Setenv(name, value)
			}
			c := DefaultConfig()
			c.Region, c.Endpoint, c.TLS, c.Timeout = awstest.Region, to.URL(), to.TLS, to.Timeout
			c.QueueURL = to.URL() + "/111122223333/q"
			s, err := c.Open(sink.Identity{Name: "queue"})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	})
}
