package kafkatest

import (
	"io"
	"log/slog"
	"os"
	"testing"

	"keytrail/processor/kafka"
)

// Variable is the environment variable that has the tests run on a real Kafka,
// when it is "real": make integration sets it.
const Variable = "KEYTRAIL_KAFKA"

// Broker is one broker, embedded or real.
type Broker interface {
	// Brokers returns its address, as a list for clients.
	Brokers() []string
	// Close ends it at once. It may be called again.
	Close()
}

// Start starts one broker for a test, which ends with the test at the latest:
// embedded, or a real one when the environment says so.
func Start(t testing.TB) Broker {
	t.Helper()
	var b Broker
	switch v := os.Getenv(Variable); v {
	case "":
		e, err := kafka.StartEmbedded("", slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		b = e
	case "real":
		dir, err := os.MkdirTemp("", "kafkatest-") // the name of a test may have what StartCluster refuses
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		c, err := StartCluster(dir, 1, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		b = c
	default:
		t.Fatalf("%s is %q, want real or nothing", Variable, v)
	}
	t.Cleanup(b.Close)
	return b
}
