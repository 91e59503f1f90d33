package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
	"keytrail/processor/setting"
	"keytrail/processor/source/feed"
)

// TestEveryAccessIsAsked checks that startup asks for everything that the stages do: for
// each topic, group and id, it names the access that a user lacks.
func TestEveryAccessIsAsked(t *testing.T) {
	all := Stages{Normalize: true, Count: true, Detect: true, Forward: true}
	var status atomic.Int32
	to := destinationOf(otlp(t, &status))
	model := pipeline(t, nil)
	model.Sinks = []Destination{to}
	model.Sources = []Source{{Name: "folder"}}
	type lack struct {
		run  Stages
		kind kmsg.ACLResourceType
		name string
		op   kmsg.ACLOperation
		says string
	}
	var lacks []lack
	for _, run := range []Stages{all, {Collect: true}} { // the others write what Collect does
		for topic, access := range model.access(run) {
			for bit, op := range map[kafka.Access]kmsg.ACLOperation{kafka.Read: kmsg.ACLOperationRead, kafka.Write: kmsg.ACLOperationWrite} {
				if access&bit != 0 {
					lacks = append(lacks, lack{run, kmsg.ACLResourceTypeTopic, topic, op, fmt.Sprintf("topic %q", topic)})
				}
			}
		}
	}
	for _, stage := range []string{"normalize", "count", "detect", "forward-siem"} {
		lacks = append(lacks, lack{all, kmsg.ACLResourceTypeGroup, "test-" + stage, kmsg.ACLOperationRead, fmt.Sprintf("group %q", "test-"+stage)})
	}
	lacks = append(lacks, lack{all, kmsg.ACLResourceTypeTransactionalId, "test-count-", kmsg.ACLOperationWrite, `transactional id "test-count-"`})
	for _, l := range lacks {
		t.Run(fmt.Sprint(l.op, " ", l.says, " ", l.run), func(t *testing.T) {
			t.Parallel()
			acls := []kfake.ACL{{Resource: l.kind, Name: l.name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: l.op}} // deny rules
			for _, kind := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId} {
				acls = append(acls, kfake.ACL{Resource: kind, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true})
			}
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationCreate, Allow: true})
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "keytrail", "right", acls...))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p := pipeline(t, c.ListenAddrs())
			p.Kafka.Security.SASL = kafka.SASL{Mechanism: kafka.MechanismPlain, Username: "keytrail", Password: setting.NewSecret("right")}
			p.Sinks = []Destination{to}
			p.Sources = []Source{{Name: "folder", Kind: feed.File, Feed: folder(t, t.TempDir(), ""), Interval: time.Second, Readers: 1}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			p.Ready = cancel // it has started without an access check
			err = p.Run(ctx, l.run)
			if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), l.says) || !strings.Contains(err.Error(), "kafka-acls.sh") || strings.Contains(err.Error(), "\n") {
				t.Errorf("it ended with %v, want one line about %v on %s", err, l.op, l.says)
			}
		})
	}
}

// A client that may not read topic settings runs all the same, and is ready.
func TestWithoutDescribeConfigs(t *testing.T) {
	var acls []kfake.ACL
	for kind, ops := range map[kmsg.ACLResourceType][]kmsg.ACLOperation{
		kmsg.ACLResourceTypeTopic:           {kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate},
		kmsg.ACLResourceTypeGroup:           {kmsg.ACLOperationRead},
		kmsg.ACLResourceTypeTransactionalId: {kmsg.ACLOperationWrite},
	} {
		for _, op := range ops {
			acls = append(acls, kfake.ACL{Resource: kind, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
		}
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "keytrail", "right", acls...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := pipeline(t, c.ListenAddrs())
	p.Kafka.Security.SASL = kafka.SASL{Mechanism: kafka.MechanismPlain, Username: "keytrail", Password: setting.NewSecret("right")}
	ask := served(t, p)
	var status atomic.Int32
	p.Sinks = []Destination{destinationOf(otlp(t, &status))}
	all := Stages{Normalize: true, Count: true, Detect: true, Forward: true}
	for range 2 { // with the topics made, and there
		stop := start(t, p, all)
		waitFor(t, "it is ready, and the lag is known", func() bool {
			code, _ := ask("/readyz")
			_, text := ask("/metrics")
			return code == 200 && strings.Contains(text, `keytrail_stage_lag{stage="count"} `) && strings.Contains(text, `keytrail_stage_lag{sink="siem",stage="forward"} `)
		})
		stop()
		p = &Pipeline{Kafka: p.Kafka, Topics: p.Topics, Events: p.Events, Partials: p.Partials, TransactionID: p.TransactionID, Interval: p.Interval,
			Records: p.Records, Window: p.Window, Sinks: p.Sinks, Log: p.Log}
		ask = served(t, p)
	}
}
