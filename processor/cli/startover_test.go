package cli_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// The procedure of docs/operations.md to count everything again, with other numbers of
// partitions, gives the same final windows from kms.events.
func TestStartOver(t *testing.T) {
	heavy(t)
	b, tr := startBroker(t), newTrail(t, 36, 1500)
	config := b.config(t, fileSink)
	p := run(t, config, inTemp(t, "1.ndjson"))
	p.ready(t)
	b.produce(t, tr.records)
	b.produce(t, tr.closer)
	b.equals(t, tr.want)
	p.stop(t, syscall.SIGTERM)

	b.startOver(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	p = run(t, write(t, inTemp(t, "k.yaml"), strings.Replace(string(text), "partials: 2", "partials: 5", 1)), inTemp(t, "2.ndjson"))
	p.ready(t)
	// The asked broker may learn of the new topic later than the one that created it.
	until(t, "kms.partials has 5 partitions", func() bool { return b.partitions(t, "kms.partials") == 5 })
	b.equals(t, tr.want)
	p.stop(t, syscall.SIGTERM)
}
