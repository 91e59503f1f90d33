package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/kafka/kafkatest"
)

// Commands that ask the brokers once work right after one of three was killed. Where topics
// have one replica, they end with an error that names the broker.
func TestBrokerDown(t *testing.T) {
	if os.Getenv(kafkatest.Variable) != "real" {
		t.Skip("NOT TESTED: commands with one of three real brokers down; make integration-all runs it")
	}
	for replication, code := range map[int]int{3: 0, 1: 1} {
		t.Run(fmt.Sprint("replication ", replication), func(t *testing.T) { brokerDown(t, replication, code) })
	}
}

func brokerDown(t *testing.T, replication, want int) {
	dir, err := os.MkdirTemp("", "brokerdown-") // StartCluster refuses some characters of a test's name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c, err := kafkatest.StartCluster(dir, 3, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	config := write(t, filepath.Join(t.TempDir(), "k.yaml"), fmt.Sprintf("kafka:\n  brokers: [%s]\n  replication: %d\n",
		strings.Join(c.Brokers(), ", "), replication))
	young := write(t, filepath.Join(t.TempDir(), "young.json"), event("young", "young", time.Now().Add(-time.Hour)))
	first := keytrail(t, nil, "replay", "-c", config, young)
	if replication > 1 {
		first.wants(t, 0, "1 published")
	}
	key := "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
	c.Kill(0)
	commands := map[*process][]string{} // all start before another broker leads the partitions
	for _, args := range [][]string{
		{"replay", "-c", config, young},
		{"tap", "-c", config, "events", "-o", "json"},
		{"deadletter", "list", "-c", config},
		{"usage", "-c", config, "--key", key},
		{"explain", "-c", config, "--list"},
		{"top", "-c", config, "--once"},
	} {
		if replication > 1 || args[0] != "replay" { // the brokers want two replicas in sync
			commands[start(t, nil, nil, args...)] = args
		}
	}
	for p, args := range commands {
		code := p.code(t)
		said := p.stderr.String() + p.stdout.String()
		lone := replication == 1 && args[0] == "deadletter" && code == 0 // its one partition is elsewhere
		if code != want && !lone || code == 1 && (!strings.Contains(said, "tried for") ||
			!strings.Contains(said, c.Brokers()[0]+`"`)) {
			t.Errorf("%s: exit code %d, want %d:\n%s", args, code, want, said)
		}
	}
}
