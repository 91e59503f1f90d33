package cli_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	segmentio "github.com/segmentio/kafka-go"

	"keytrail/processor/kafka/kafkatest"
)

// The whole path over listeners with TLS and a password from the environment; the test's
// own client uses the plaintext one. With a wrong password startup ends with advice.
func TestRunSecured(t *testing.T) {
	if os.Getenv(kafkatest.Variable) != "real" {
		fmt.Fprintf(os.Stderr, "SKIPPED %s: keytrail run with TLS and SASL is NOT tested: it needs a real Kafka, make integration\n", t.Name())
		t.Skip("needs a real Kafka: make integration")
	}
	heavy(t)
	s, err := kafkatest.StartSecured(t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &broker{address: s.Brokers()[0], transport: &segmentio.Transport{MetadataTTL: 200 * time.Millisecond}}
	b.client = &segmentio.Client{Addr: segmentio.TCP(b.address), Transport: b.transport, Timeout: patience}
	t.Cleanup(b.transport.CloseIdleConnections)
	text := fmt.Sprintf(pipelineConfig, s.SASL, fileSink)
	secured := fmt.Sprintf("  tls: {enabled: true, ca_file: %s}\n  sasl: {mechanism: SCRAM-SHA-256, username: %s, password: \"${KAFKA_PASSWORD}\"}\n", s.CA, kafkatest.User)
	config := write(t, inTemp(t, "keytrail.yaml"), strings.Replace(text, "kafka:\n", "kafka:\n"+secured, 1))

	tr, archive := newTrail(t, 35, 800), inTemp(t, "archive.ndjson")
	p := startWith(t, []string{"ARCHIVE=" + archive, "KAFKA_PASSWORD=" + kafkatest.Password}, nil, nil, "run", "-c", config)
	p.ready(t)
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	until(t, "the file has everything", func() bool { return archived(t, archive).missing(tr) == "" })
	p.stop(t, syscall.SIGTERM)

	wrong := startWith(t, []string{"ARCHIVE=" + archive, "KAFKA_PASSWORD=hunter2"}, nil, nil, "run", "-c", config)
	<-wrong.done
	said := wrong.stderr.String()
	if !strings.Contains(said, `the brokers refuse SASL SCRAM-SHA-256 for user "keytrail"; check the user and the password`) || strings.Contains(said, "hunter2") {
		t.Errorf("with a wrong password it says\n%s", said)
	}
}
