package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// needs are the requests that Keytrail depends on, with their minimum versions and the
// first Kafka release that has those.
var needs = []struct {
	key     kmsg.Key
	version int16
}{
	{kmsg.Metadata, 8},        // allowed operations: 2.3
	{kmsg.CreateTopics, 4},    // the brokers' default replication: 2.4
	{kmsg.OffsetFetch, 7},     // waits for offsets of open transactions: 2.5
	{kmsg.TxnOffsetCommit, 3}, // fences a commit by the group's generation: 2.5
	{kmsg.InitProducerID, 3},  // fences a transactional id: 2.5
	{kmsg.AddPartitionsToTxn, 0},
	{kmsg.AddOffsetsToTxn, 0},
	{kmsg.EndTxn, 0},
	{kmsg.DescribeConfigs, 0},
}

// oldest is the oldest Kafka that meets all needs.
const oldest = "Kafka 2.5"

// versions returns an error unless the brokers are reachable at their advertised
// addresses and new enough. It tolerates single unreachable brokers.
func (s *starter) versions(ctx context.Context, l layout) error {
	brokers, err := s.adm.ApiVersions(ctx)
	if err != nil {
		return s.explain("cannot get the brokers' API versions", err)
	}
	var away error
	answered := 0
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			away = b.Err
			continue
		}
		answered++
		for _, n := range needs {
			if got, ok := b.KeyMaxVersion(n.key.Int16()); !ok || got < n.version {
				return &final{fmt.Errorf("broker %d of %s is too old or not Kafka (its version looks like %s): it lacks "+
					"version %d of %s; use %s or newer",
					b.NodeID, strings.Join(s.c.Brokers, ","), b.VersionGuess(), n.version, n.key.Name(), oldest)}
			}
		}
	}
	if answered == 0 && away != nil {
		return s.explain(fmt.Sprintf("the brokers advertise %s, which cannot be reached; correct their "+
			"advertised.listeners, or DNS and routes of this host",
			strings.Join(l.brokers, ",")), away)
	}
	return nil
}

// silent returns a line per configured broker that does not answer, with what to do. It
// takes at most diagnoseWithin.
func (c *Config) silent(ctx context.Context) (told []string) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseWithin)
	defer cancel()
	answers := make([]string, len(c.Brokers))
	var all sync.WaitGroup
	for i, b := range c.Brokers {
		all.Go(func() { answers[i] = c.diagnose(ctx, b) })
	}
	all.Wait()
	for _, a := range answers {
		if a != "" && !slices.Contains(told, a) {
			told = append(told, a)
		}
	}
	return told
}

// unreachable explains why the brokers do not answer after some retries. last is the
// client's last error.
func (c *Config) unreachable(ctx context.Context, last error) error {
	told := c.silent(ctx)
	var hungUp *kgo.ErrFirstReadEOF
	proof := error(nil)
	if len(told) == 0 {
		within, cancel := context.WithTimeout(ctx, diagnoseWithin)
		proof = c.Security.SASL.proof(within)
		cancel()
	}
	switch {
	case len(told) > 0:
	case proof != nil:
		return c.Security.Explain(proof)
	case last == nil:
		return fmt.Errorf("cannot reach Kafka at %s: it answers too late", strings.Join(c.Brokers, ","))
	case errors.As(last, &hungUp) && c.Security.SASL.mechanism() == MechanismNone:
		return fmt.Errorf("the brokers close the connection at the first request; if their listener wants SASL, set "+
			"kafka.sasl.mechanism: %w", last)
	case errors.Is(last, io.EOF) && c.Security.SASL.mechanism() != MechanismNone:
		m := c.Security.SASL.mechanism()
		return fmt.Errorf("the brokers close the connection during authentication: they seem to refuse SASL %s%s; %s: %w",
			m, c.Security.who(), remedies[m], last)
	default: // they answer: the cause is another one
		return last
	}
	return fmt.Errorf("cannot reach Kafka: %s", strings.Join(told, "; "))
}

// diagnose tries one address step by step, and returns where that fails and what to do;
// "" if a broker answers.
func (c *Config) diagnose(ctx context.Context, address string) string {
	said := func(format string, args ...any) string {
		return fmt.Sprintf("broker %q: ", address) + fmt.Sprintf(format, args...)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return said("its name cannot be resolved (%v); check kafka.brokers and the DNS of this host", dns)
	case errors.As(err, &timeout) && timeout.Timeout():
		return said("no answer to a connection; check the address, firewalls and routes")
	case err != nil:
		return said("%v; check that Kafka runs there, and kafka.brokers", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if c.Security.TLS.Enabled {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return said("%v", err)
		}
		settings, err := c.Security.TLS.config(host)
		if err != nil {
			return said("%v", err)
		}
		over := tls.Client(conn, settings)
		if err := over.HandshakeContext(ctx); err != nil {
			if hint := c.Security.hint(err); hint != "" {
				return said("%s (%v)", hint, err)
			}
			return said("no TLS handshake (%v); use the port of the brokers' TLS listener, or do not enable kafka.tls", err)
		}
		conn = over
	}
	switch answer, err := askVersions(conn); {
	case len(answer) > 0 && answer[0] == 0x15: // an alert (RFC 8446, section 5.1)
		return said("it speaks TLS; set kafka.tls.enabled")
	case errors.As(err, &timeout) && timeout.Timeout():
		return said("it accepts connections but does not answer; check that it is Kafka, and that it is not starting or " +
			"overloaded")
	case err != nil && !c.Security.TLS.Enabled:
		return said("it closes the connection without an answer (%v); if this is a TLS listener, set kafka.tls.enabled, "+
			"or use another port", err)
	case err != nil:
		return said("it closes the connection without an answer (%v); check that it is Kafka", err)
	}
	return ""
}

// askVersions sends the oldest ApiVersions request and returns the first bytes of the
// answer.
func askVersions(conn net.Conn) ([]byte, error) {
	const client = "keytrail"
	body := binary.BigEndian.AppendUint16(nil, uint16(kmsg.ApiVersions))
	body = binary.BigEndian.AppendUint16(body, 0)
	body = binary.BigEndian.AppendUint32(body, 1) // the correlation id
	body = binary.BigEndian.AppendUint16(body, uint16(len(client)))
	body = append(body, client...)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return nil, err
	}
	answer := make([]byte, 8)
	n, err := io.ReadAtLeast(conn, answer, 5)
	return answer[:n], err
}
