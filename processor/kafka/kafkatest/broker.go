package kafkatest

import (
	"io"
	"log/slog"
	"os"
	"testing"

	"keytrail/processor/kafka"
)

// Variable is the environment variable that selects a real Kafka with the value "real":
// make integration sets it.
const Variable = "KEYTRAIL_KAFKA"

// Broker is one broker, embedded or real.
type Broker interface {
	// Brokers returns its address, as a list for clients.
	Brokers() []string
	// Close ends it at once. It may be called again.
	Close()
}

// Start starts one broker, which lives at most as long as the test: embedded, or a real
// one if the environment says so.
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
		dir, err := os.MkdirTemp("", "kafkatest-") // a test's name may contain characters that StartCluster refuses
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
		t.Fatalf("%s is %q; set it to real or leave it unset", Variable, v)
	}
	t.Cleanup(b.Close)
	return b
}
