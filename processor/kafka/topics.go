package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is a topic that must exist.
type Topic struct {
	Name       string
	Partitions int32
	// Configs are the settings with which a missing topic is created. Existing topics are
	// compared with them: see check.
	Configs map[string]*string
	// AnyPolicy also allows a compacted topic: each record has a key, and the last record
	// per key counts.
	AnyPolicy bool
	// DeletedAdvice ends the error about an existing topic that deletes records by age
	// instead of compacting them, where another policy would not bring the records back;
	// "" for the command that changes the policy.
	DeletedAdvice string
	// Outlives is a topic whose retention must not exceed this one's; "" for none.
	Outlives string
	// Access is the access that the client needs.
	Access Access
}

// Time limits of startup, in all below 15 s: for the brokers to answer, for their answers
// about groups and ids, for one connection, and for the diagnosis.
const (
	reachWithin    = 6 * time.Second
	accessWithin   = 3 * time.Second
	dialWithin     = 3 * time.Second
	diagnoseWithin = 3 * time.Second
)

// madeWithin is how long a created topic may take to appear in metadata.
const madeWithin = 5 * time.Minute

// EnsureTopics creates missing topics and returns the number of partitions of each. A
// replication of 0 means the brokers' default; it is an error if that is 1 with three or
// more brokers. Existing topics keep their partitions and settings: unusable ones are an
// error, and risky ones are logged.
//
// It waits until the whole cluster knows all topics. If the brokers cannot be reached,
// are too old, or refuse the client or one of its operations, it returns within 15 s,
// with one line that says what, where, and what to do.
func EnsureTopics(ctx context.Context, c Config, replication int16, topics []Topic) (map[string]int32, error) {
	if err := c.Security.Load(); err != nil {
		return nil, err
	}
	cl, err := c.startClient(1)
	if err != nil {
		return nil, err
	}
	// In the background: it waits for connections in progress, and startup is over.
	defer func() { go cl.Close() }()
	s := &starter{c: &c, cl: cl, adm: kadm.NewClient(cl), replication: replication, topics: topics,
		made: map[string]bool{}}
	counts, err := s.run(ctx)
	if err != nil {
		return nil, &lined{err}
	}
	return counts, nil
}

// lined is an error on one line, even if the errors in it have several.
type lined struct{ err error }

func (e *lined) Error() string { return oneLine(e.err) }
func (e *lined) Unwrap() error { return e.err }

// starter is one run of EnsureTopics.
type starter struct {
	c           *Config
	cl          *kgo.Client
	adm         *kadm.Client
	replication int16
	topics      []Topic
	current     bool            // the brokers are new enough
	made        map[string]bool // by this run
}

func (s *starter) run(ctx context.Context) (map[string]int32, error) {
	deadline := time.Now().Add(reachWithin)
	var last error
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		within, cancel := context.WithTimeout(ctx, min(dialWithin+time.Second, time.Until(deadline)+time.Second))
		counts, err := s.try(within)
		cancel()
		var stop *final
		switch {
		case counts != nil:
			return counts, nil
		case errors.As(err, &stop):
			return nil, stop.err
		case err != nil && (last == nil || ctx.Err() == nil):
			last = err // an expired deadline is not a cause
		case err == nil && len(s.made) > 0 && last != nil:
			last = nil
		}
		if err == nil && len(s.made) > 0 {
			deadline = time.Now().Add(madeWithin) // they will appear soon
		}
		if time.Now().After(deadline) {
			return nil, s.c.unreachable(ctx, last)
		}
		select {
		case <-ctx.Done():
			if last == nil {
				return nil, fmt.Errorf("created topics do not appear at %s: %w", strings.Join(s.c.Brokers, ","), ctx.Err())
			}
			return nil, fmt.Errorf("%w (%w)", last, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// final is an error that a retry does not change.
type final struct{ err error }

func (e *final) Error() string { return e.err.Error() }
func (e *final) Unwrap() error { return e.err }

// try creates missing topics once. It returns the numbers of partitions once all topics
// exist.
func (s *starter) try(ctx context.Context) (map[string]int32, error) {
	names := make([]string, len(s.topics))
	for i, t := range s.topics {
		names[i] = t.Name
	}
	l, err := describe(ctx, s.cl, names)
	if err != nil {
		return nil, s.explain("cannot list topics", err)
	}
	if !s.current {
		if err := s.versions(ctx, l); err != nil {
			return nil, err
		}
		s.current = true
	}
	if len(l.topics) < len(s.topics) {
		return nil, s.create(ctx, l)
	}
	if err := s.topicAccess(l); err != nil {
		return nil, &final{err}
	}
	if err := s.check(ctx, l); err != nil {
		return nil, err
	}
	counts := map[string]int32{}
	for name, t := range l.topics {
		counts[name] = t.partitions
	}
	return counts, nil
}

// explain adds place and advice to a broker's error, and makes it final if a retry does
// not change it.
func (s *starter) explain(what string, err error) error {
	var d *denied
	if errors.As(err, &d) {
		return &final{s.c.refusal(d)}
	}
	said := fmt.Errorf("%s at %v: %w", what, s.c.Brokers, s.c.Security.Explain(err))
	if s.c.Security.Refused(err) {
		return &final{said}
	}
	return said
}

// create creates the missing topics one by one, and accepts one that exists by now.
func (s *starter) create(ctx context.Context, l layout) error {
	for _, t := range s.topics {
		if _, ok := l.topics[t.Name]; ok || s.made[t.Name] {
			continue
		}
		replicas, err := s.replicas(ctx, l, t)
		if err != nil {
			return err
		}
		configs := maps.Clone(t.Configs)
		// A write that only one broker has is lost with it. Two of three brokers must
		// have it, so one may fail.
		if _, set := configs["min.insync.replicas"]; !set && replicas >= 3 {
			if configs == nil {
				configs = map[string]*string{}
			}
			configs["min.insync.replicas"] = kmsg.StringPtr("2")
		}
		factor := s.replication
		if factor == 0 {
			factor = -1
		}
		made, err := s.adm.CreateTopic(ctx, t.Partitions, factor, configs, t.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return s.notMade(t, made.ErrMessage, err)
		}
		s.made[t.Name] = true
	}
	return nil
}

// notMade says why a topic was not created.
func (s *starter) notMade(t Topic, detail string, err error) error {
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return &final{fmt.Errorf("topic %q does not exist: %w", t.Name, s.c.refusal(&denied{kmsg.ACLOperationCreate,
			"topic", t.Name, err}))}
	}
	replication := fmt.Sprint("replication ", s.replication)
	if s.replication == 0 {
		replication = "the brokers' default replication"
	}
	if detail != "" && !strings.Contains(err.Error(), detail) {
		err = fmt.Errorf("%w: %s", err, detail)
	}
	said := s.explain(fmt.Sprintf("cannot create topic %q with %d partitions and %s", t.Name, t.Partitions,
		replication), err)
	for _, forGood := range []error{kerr.PolicyViolation, kerr.InvalidConfig, kerr.InvalidTopicException,
		kerr.InvalidPartitions, kerr.UnsupportedVersion} {
		if errors.Is(err, forGood) {
			return &final{said}
		}
	}
	return said // starting brokers may not know of each other yet
}

// replicas returns the replication of a new topic, 0 if unknown. Leaving it to the
// brokers is an error if their default is one copy although there are enough brokers for
// more: one lost disk would lose the topics.
func (s *starter) replicas(ctx context.Context, l layout, t Topic) (int, error) {
	if s.replication > 0 {
		return int(s.replication), nil
	}
	known := 0
	if v, err := s.adm.ValidateCreateTopics(ctx, t.Partitions, -1, nil, t.Name); err == nil && v[t.Name].Err == nil {
		known = int(v[t.Name].ReplicationFactor)
	}
	if n := s.defaultReplication(ctx); n > 0 && (known <= 0 || n < known) {
		known = n
	}
	if known == 1 && len(l.brokers) >= 3 {
		return 0, &final{fmt.Errorf("topic %q does not exist, and the %d brokers at %s would keep one copy of it "+
			"(default.replication.factor is 1): "+
			"set kafka.replication to 3, or to 1 if losing a broker may lose what is counted", t.Name, len(l.brokers), strings.Join(s.c.Brokers, ","))}
	}
	return max(0, min(known, len(l.brokers))), nil
}

// defaultReplication returns the brokers' default.replication.factor, 0 if the client may
// not read it.
func (s *starter) defaultReplication(ctx context.Context) (n int) {
	brokers, err := s.adm.BrokerMetadata(ctx)
	if err != nil || len(brokers.Brokers) == 0 {
		return 0
	}
	configs, err := s.adm.DescribeBrokerConfigs(ctx, brokers.Brokers.NodeIDs()[0])
	if err != nil {
		return 0
	}
	for _, r := range configs {
		for _, one := range r.Configs {
			if one.Key == "default.replication.factor" && one.Value != nil {
				fmt.Sscan(*one.Value, &n)
			}
		}
	}
	return n
}
