package kafka

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Grade is how bad a finding is.
type Grade uint8

// The grades.
const (
	Good   Grade = iota
	Risky        // it works, but something may go wrong
	Broken       // it cannot work
)

// Finding is one result of Examine.
type Finding struct {
	Check  string // what was examined, such as "topics"
	Grade  Grade
	Detail string // one line
	Advice string // what to do; "" for good ones, and where Detail says it
}

// Examination is what Examine looks at.
type Examination struct {
	Topics           []Topic
	Groups           []string
	TransactionalIDs []string // prefixes
	// Clock is a compacted topic whose records get their time from the broker, to compare
	// clocks with; Examine writes a record without a value to it. "" skips that.
	Clock string
}

// Examine looks at the cluster as the stages use it, and reports what it finds. It creates no
// topic and joins no group.
func (e *Examination) Examine(ctx context.Context, c Config, report func(Finding)) {
	add := func(check string, grade Grade, detail, advice string) {
		report(Finding{check, grade, oneLine(errors.New(detail)), advice})
	}
	broken := func(check string, err error) { add(check, Broken, err.Error(), "") }
	if err := c.Security.Load(); err != nil {
		broken("brokers", err)
		return
	}
	cl, err := c.startClient(1)
	if err != nil {
		broken("brokers", err)
		return
	}
	defer func() { go cl.Close() }() // it waits for connections in progress
	quiet := c
	quiet.Log, quiet.Trouble = nil, nil
	s := &starter{c: &quiet, cl: cl, adm: kadm.NewClient(cl), topics: e.Topics, made: map[string]bool{}}
	var names []string
	for _, t := range e.Topics {
		names = append(names, t.Name)
	}
	l, err := describe(ctx, cl, names)
	if err != nil {
		broken("brokers", s.explain("cannot list topics", err))
		return
	}
	s.brokers(ctx, l, add)
	s.examineTopics(ctx, l, add)
	if err := CheckAccess(ctx, quiet, e.Groups, e.TransactionalIDs); err != nil {
		broken("access", err)
	} else {
		add("access", Good, fmt.Sprintf("%d groups and %d transactional ids are allowed", len(e.Groups),
			len(e.TransactionalIDs)), "")
	}
	for _, id := range e.TransactionalIDs[:min(1, len(e.TransactionalIDs))] {
		e.transaction(ctx, &quiet, id+"doctor", add)
	}
	if _, ok := l.topics[e.Clock]; ok {
		e.clock(ctx, &quiet, add)
	}
	if c.Security.TLS.Enabled {
		certificates(ctx, &quiet, l, add)
	}
}

type adder func(check string, grade Grade, detail, advice string)

// brokers reports the versions of the brokers, and those that do not answer.
func (s *starter) brokers(ctx context.Context, l layout, add adder) {
	if err := s.versions(ctx, l); err != nil {
		add("brokers", Broken, err.Error(), "")
	}
	brokers, err := s.adm.ApiVersions(ctx)
	if err != nil {
		return // versions says it
	}
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			add("brokers", Risky, fmt.Sprintf("broker %d does not answer: %v", b.NodeID, b.Err),
				"start it, or look into its log")
			continue
		}
		add("brokers", Good, fmt.Sprintf("broker %d has a version like %s", b.NodeID, b.VersionGuess()), "")
	}
}

// examineTopics reports missing topics, and settings and access that do not fit.
func (s *starter) examineTopics(ctx context.Context, l layout, add adder) {
	var there []string
	for _, t := range s.topics {
		if _, ok := l.topics[t.Name]; ok {
			there = append(there, t.Name)
			continue
		}
		add("topics", Risky, fmt.Sprintf("topic %q does not exist", t.Name), "keytrail run creates it at its start")
	}
	if err := s.topicAccess(l); err != nil {
		add("access", Broken, err.Error(), "")
	}
	if len(there) == 0 {
		return
	}
	settings, err := s.settings(ctx, there)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		add("topics", Risky, "the brokers do not allow to read the settings of topics", "allow DescribeConfigs on them")
		return
	} else if err != nil {
		add("topics", Broken, s.explain("cannot read the settings of topics", err).Error(), "")
		return
	}
	for _, t := range s.topics {
		if _, ok := l.topics[t.Name]; !ok {
			continue
		}
		list := append(t.differences(settings[t.Name], l.topics[t.Name], len(l.brokers)), t.outlived(settings)...)
		for _, d := range list {
			grade := Risky
			if d.fatal {
				grade = Broken
			}
			detail, advice, _ := strings.Cut(s.sentence(t.Name, d), "; change it with: ")
			add("topics", grade, detail, advice)
		}
		if len(list) == 0 {
			add("topics", Good, fmt.Sprintf("topic %q has %d partitions and suitable settings", t.Name,
				l.topics[t.Name].partitions), "")
		}
	}
}

// transaction begins and aborts a transaction without records, which asks the coordinator for
// a producer id.
func (e *Examination) transaction(ctx context.Context, c *Config, id string, add adder) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	cl, err := kgo.NewClient(append(c.Options(), kgo.TransactionalID(id), kgo.RequestRetries(2))...)
	if err == nil {
		defer func() { go cl.Close() }()
		_, _, err = cl.ProducerID(ctx)
	}
	if err != nil {
		add("transactions", Broken, fmt.Sprintf("no transaction can begin: %v", err),
			"check that the topic __transaction_state has enough replicas (transaction.state.log.replication.factor)")
		return
	}
	add("transactions", Good, "transactions can begin", "")
}

// mostSkew is the difference of clocks that is worth a word. Windows close by the clock when
// nothing arrives.
const mostSkew = time.Second

// clock compares this machine's clock with that of a broker, which writes the time of a record.
func (e *Examination) clock(ctx context.Context, c *Config, add adder) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	unknown := func(err error) {
		add("clock", Risky, fmt.Sprintf("the broker's clock is unknown: %v", err), "compare the clocks by hand, and run NTP")
	}
	cl, err := kgo.NewClient(append(c.Options(), kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(reachWithin))...)
	if err != nil {
		unknown(err)
		return
	}
	defer func() { go cl.Close() }()
	var unique [8]byte
	rand.Read(unique[:]) // never fails
	r := &kgo.Record{Topic: e.Clock, Key: []byte("doctor-" + hex.EncodeToString(unique[:]))}
	before := time.Now()
	err = cl.ProduceSync(ctx, r).FirstErr()
	after := time.Now()
	if err != nil {
		unknown(err)
		return
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{e.Clock: {r.Partition: kgo.NewOffset().At(r.Offset)}})
	fetches := cl.PollRecords(ctx, 1)
	if err := errors.Join(ctx.Err(), fetches.Err()); err != nil || fetches.NumRecords() == 0 {
		unknown(cmp.Or(err, errors.New("the record is not there")))
		return
	}
	got := fetches.Records()[0]
	if got.Attrs.TimestampType() != 1 { // LogAppendTime
		unknown(fmt.Errorf("topic %q does not have message.timestamp.type LogAppendTime", e.Clock))
		return
	}
	skew := time.Duration(0)
	if at := got.Timestamp; at.Before(before.Truncate(time.Millisecond)) {
		skew = at.Sub(before)
	} else if at.After(after) {
		skew = at.Sub(after)
	}
	if skew.Abs() > mostSkew {
		add("clock", Risky, fmt.Sprintf("the broker's clock differs from this one by %v", skew.Round(time.Millisecond)),
			"run NTP on both machines")
		return
	}
	add("clock", Good, "the broker's clock agrees with this one within a second", "")
}

// soon is how long before its end a certificate is worth a word.
const soon = 30 * 24 * time.Hour

// Certificate returns what is to be said about a certificate that ends at some time.
func Certificate(whose string, end time.Time) Finding {
	f := Finding{Check: "certificates", Grade: Good,
		Detail: fmt.Sprintf("the certificate of %s ends at %s", whose, end.UTC().Format(time.RFC3339))}
	switch left := time.Until(end); {
	case left <= 0:
		f.Grade, f.Advice = Broken, "renew it now"
	case left < soon:
		f.Grade, f.Advice = Risky, "renew it before"
	}
	return f
}

// certificates reports when the brokers' certificates and the client's end.
func certificates(ctx context.Context, c *Config, l layout, add adder) {
	say := func(whose string, end time.Time) {
		f := Certificate(whose, end)
		add(f.Check, f.Grade, f.Detail, f.Advice)
	}
	for _, address := range l.brokers {
		within, cancel := context.WithTimeout(ctx, dialWithin)
		conn, err := c.Security.TLS.dial(within, "tcp", address)
		cancel()
		if err != nil {
			add("certificates", Broken, fmt.Sprintf("%s: %v", address, c.Security.Explain(err)), "")
			continue
		}
		if t, ok := conn.(*tls.Conn); ok && len(t.ConnectionState().PeerCertificates) > 0 {
			say("broker "+address, t.ConnectionState().PeerCertificates[0].NotAfter)
		}
		conn.Close()
	}
	if file := c.Security.TLS.CertFile; file != "" {
		if pair, err := tls.LoadX509KeyPair(file, c.Security.TLS.KeyFile); err == nil && pair.Leaf != nil {
			say("this client ("+file+")", pair.Leaf.NotAfter)
		}
	}
}
