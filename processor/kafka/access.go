package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// denied is an operation that the brokers' access lists do not grant the client.
type denied struct {
	op   kmsg.ACLOperation
	kind string // in kafka-acls.sh's terms: topic, group, transactional-id, cluster
	name string
	err  error
}

func (d *denied) Error() string { return fmt.Sprintf("%v %s %q: %v", d.op, d.kind, d.name, d.err) }
func (d *denied) Unwrap() error { return d.err }

// refusal returns one line: the denied operation, the principal, and the command with
// which an administrator grants it.
func (c *Config) refusal(d *denied) error {
	target := fmt.Sprintf("--%s %s", d.kind, d.name)
	if d.kind == "cluster" {
		target = "--cluster"
	}
	prefixed := ""
	if d.kind == "transactional-id" {
		prefixed = " --resource-pattern-type prefixed"
	}
	principal := "User:" + c.Security.SASL.Username
	if c.Security.SASL.Username == "" {
		principal = "'User:<the principal of this client>'"
	}
	op := operation(d.op)
	return fmt.Errorf("the brokers %s do not allow %s on %s %q%s (%w); an administrator allows it with: "+
		"kafka-acls.sh --bootstrap-server %s --add --allow-principal %s --operation %s %s%s",
		strings.Join(c.Brokers, ","), op, strings.ReplaceAll(d.kind, "-", " "), d.name, c.Security.who(), d.err,
		c.Brokers[0], principal, op, target, prefixed)
}

// operation returns the name of an operation in kafka-acls.sh's form.
func operation(op kmsg.ACLOperation) string {
	switch op {
	case kmsg.ACLOperationRead:
		return "Read"
	case kmsg.ACLOperationWrite:
		return "Write"
	case kmsg.ACLOperationCreate:
		return "Create"
	case kmsg.ACLOperationDescribeConfigs:
		return "DescribeConfigs"
	case kmsg.ACLOperationIdempotentWrite:
		return "IdempotentWrite"
	}
	return "Describe"
}

// topicAccess returns an error unless the client has the access that each topic requires.
func (s *starter) topicAccess(l layout) error {
	for _, t := range s.topics {
		info, ok := l.topics[t.Name]
		if !ok {
			continue
		}
		for _, one := range []struct {
			access Access
			op     kmsg.ACLOperation
		}{{Read, kmsg.ACLOperationRead}, {Write, kmsg.ACLOperationWrite}} {
			if t.Access&one.access != 0 && !info.may(one.op) {
				return s.c.refusal(&denied{one.op, "topic", t.Name, kerr.TopicAuthorizationFailed})
			}
		}
	}
	return nil
}

// CheckAccess returns an error unless the client may join the consumer groups and write
// transactions under ids with the given prefixes. It leaves nothing behind on the
// brokers. It returns nil while the coordinators do not answer: the stages wait for
// those.
func CheckAccess(ctx context.Context, c Config, groups, transactionalIDs []string) error {
	ctx, cancel := context.WithTimeout(ctx, accessWithin)
	defer cancel()
	cl, err := c.startClient(1)
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, group := range groups {
		// Joins with a session of a millisecond, which every broker refuses: the access
		// check comes first.
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, "consumer", 1, 1
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.GroupAuthorizationFailed) {
			return c.refusal(&denied{kmsg.ACLOperationRead, "group", group, kerr.GroupAuthorizationFailed})
		}
	}
	for _, id := range transactionalIDs {
		// Ends a transaction of a producer that does not exist: the access check comes first again.
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id+"check", -1, -1, false
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
			return c.refusal(&denied{kmsg.ACLOperationWrite, "transactional-id", id,
				kerr.TransactionalIDAuthorizationFailed})
		}
	}
	return nil
}

// startClient makes a client for requests during startup. It gives up soon and logs
// nothing, as its errors are reported. The client ignores contexts while it connects, so
// retries and the connection timeout bound a request.
func (c *Config) startClient(retries int) (*kgo.Client, error) {
	silent := *c
	silent.Log, silent.Trouble = nil, nil
	// A new topic is polled for until it exists; by default the client answers from a
	// cache of five seconds.
	opts := append(silent.Options(), kgo.MetadataMinAge(50*time.Millisecond), kgo.RequestRetries(retries),
		kgo.RequestTimeoutOverhead(dialWithin))
	if c.Security.TLS.Enabled {
		opts = append(opts, kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialWithin)
			defer cancel()
			return c.Security.TLS.dial(ctx, network, addr)
		}))
	} else {
		opts = append(opts, kgo.DialTimeout(dialWithin))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	return cl, nil
}
