package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// adminOf returns a client that changes a fake cluster.
func adminOf(t *testing.T, c *kfake.Cluster) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

func text(s string) *string { return &s }

// A replication that nobody chose must not keep one copy if three are possible.
func TestReplication(t *testing.T) {
	f := func(brokers int, byDefault string, replication int16, wantReplicas int, wantInSync, wantErr string) {
		t.Helper()
		c := fake(t, kfake.NumBrokers(brokers), kfake.BrokerConfigs(map[string]string{"default.replication.factor": byDefault}))
		cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: quiet()}
		_, err := kafka.EnsureTopics(t.Context(), cfg, replication, []kafka.Topic{{Name: "a", Partitions: 2}})
		name := fmt.Sprintf("%d brokers, default %s, replication %d", brokers, byDefault, replication)
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: got %v, want %q", name, err, wantErr)
			}
			if there, err := adminOf(t, c).ListTopics(t.Context(), "a"); err != nil || there.Has("a") {
				t.Errorf("%s: the topic was made (%v)", name, err)
			}
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		adm := adminOf(t, c)
		details, err := adm.ListTopics(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if got := len(details["a"].Partitions[0].Replicas); got != wantReplicas {
			t.Errorf("%s: %d replicas, want %d", name, got, wantReplicas)
		}
		if got := topicConfig(t, adm, "a", "min.insync.replicas"); got != wantInSync {
			t.Errorf("%s: min.insync.replicas is %s, want %s", name, got, wantInSync)
		}
	}
	f(1, "1", 0, 1, "1", "")
	f(2, "1", 0, 2, "1", "") // kfake has as many replicas as brokers
	f(3, "3", 0, 3, "2", "")
	f(3, "1", 0, 0, "", "set kafka.replication to 3")
	f(5, "1", 0, 0, "", "set kafka.replication to 3")
	f(3, "1", 1, 1, "1", "")
	f(3, "1", 3, 3, "2", "")
	f(3, "1", 2, 2, "1", "")
	f(1, "1", 3, 0, "", "replication 3")
}

func topicConfig(t *testing.T, adm *kadm.Client, topic, key string) string {
	t.Helper()
	configs, err := adm.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range configs[0].Configs {
		if one.Key == key && one.Value != nil {
			return *one.Value
		}
	}
	return ""
}

// TestSettingsOfTopics checks each difference that a topic can have: unusable settings
// end startup, risky ones are logged, both with the command that changes them.
func TestSettingsOfTopics(t *testing.T) {
	c := fake(t, kfake.NumBrokers(3))
	adm := adminOf(t, c)
	compact := map[string]*string{"cleanup.policy": text("compact"), "max.message.bytes": text("8388608")}
	week := map[string]*string{"retention.ms": text("604800000")}
	n := 0
	f := func(wanted map[string]*string, any bool, replication int16, has map[string]*string, fatal bool, want string) {
		t.Helper()
		n++
		name := fmt.Sprint("t", n)
		if _, err := adm.CreateTopic(t.Context(), 2, replication, has, name); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: slog.New(slog.NewTextHandler(&log, nil))}
		_, err := kafka.EnsureTopics(t.Context(), cfg, 3, []kafka.Topic{{Name: name, Partitions: 2, Configs: wanted, AnyPolicy: any}})
		said := log.String()
		if err != nil {
			said = err.Error()
		}
		said = strings.ReplaceAll(said, `\"`, `"`)
		switch {
		case (err != nil) != fatal:
			t.Errorf("%v instead of %v: error %v, want one: %v", has, wanted, err, fatal)
		case want == "" && said != "":
			t.Errorf("%v instead of %v: it says %s", has, wanted, said)
		case want != "" && (!strings.Contains(said, `topic "`+name+`" has `+want) || !strings.Contains(said, "change it with: kafka-")):
			t.Errorf("%v instead of %v: got %s\nwant %s and a command", has, wanted, said, want)
		}
	}
	good := map[string]*string{"min.insync.replicas": text("2")}
	with := func(more map[string]*string) map[string]*string {
		all := map[string]*string{}
		for k, v := range good {
			all[k] = v
		}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	f(week, false, 3, with(week), false, "")
	f(compact, false, 3, with(compact), false, "")
	// unusable
	f(compact, false, 3, with(map[string]*string{"max.message.bytes": text("8388608")}), true, "cleanup.policy delete, want compact")
	f(compact, false, 3, with(map[string]*string{"cleanup.policy": text("compact,delete"), "max.message.bytes": text("8388608")}), true, "cleanup.policy compact,delete, want compact")
	f(week, false, 3, with(map[string]*string{"cleanup.policy": text("compact")}), true, "cleanup.policy compact, want delete")
	f(compact, false, 3, with(map[string]*string{"cleanup.policy": text("compact")}), true, "max.message.bytes 1048588, want 8388608")
	f(week, false, 3, with(map[string]*string{"max.message.bytes": text("100000")}), true, "max.message.bytes 100000")
	f(week, false, 2, map[string]*string{"min.insync.replicas": text("3")}, true, "min.insync.replicas 3, want 1")
	// risky
	f(week, false, 3, with(map[string]*string{"retention.ms": text("3600000")}), false, "retention.ms 3600000, want 604800000: records that are not read within 1h0m0s are lost")
	f(week, false, 3, with(map[string]*string{"retention.bytes": text("1000000")}), false, "retention.bytes 1000000, want -1")
	f(week, false, 3, week, false, "min.insync.replicas 1, want 2")
	f(week, false, 1, week, false, "replication factor 1, want 3")
	f(week, false, 3, with(map[string]*string{"message.timestamp.type": text("LogAppendTime")}), false, "message.timestamp.type LogAppendTime, want CreateTime")
	f(map[string]*string{"message.timestamp.type": text("LogAppendTime")}, false, 3, with(map[string]*string{"message.timestamp.type": text("CreateTime")}), false, "message.timestamp.type CreateTime, want LogAppendTime: after an outage, a producer with a wrong clock")
	f(map[string]*string{}, false, 3, with(map[string]*string{"retention.ms": text("1")}), false, "")
	// as good or better
	f(week, false, 3, with(map[string]*string{"retention.ms": text("-1")}), false, "")
	f(week, false, 3, with(map[string]*string{"retention.ms": text("6048000000")}), false, "")
	f(week, true, 3, with(map[string]*string{"cleanup.policy": text("compact")}), false, "")
	f(week, true, 3, with(map[string]*string{"cleanup.policy": text("compact,delete"), "retention.ms": text("6048000000")}), false, "")
}

// A topic whose deleted records another cleanup.policy would not bring back gets advice
// instead of a command.
func TestDeletedAdvice(t *testing.T) {
	c := fake(t)
	adm := adminOf(t, c)
	const want = "start over"
	for _, policy := range []string{"delete", "compact,delete"} {
		name := strings.ReplaceAll(policy, ",", "-")
		if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": text(policy)}, name); err != nil {
			t.Fatal(err)
		}
		cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: quiet()}
		topic := kafka.Topic{Name: name, Partitions: 1, Configs: map[string]*string{"cleanup.policy": text("compact")}, DeletedAdvice: "start over"}
		_, err := kafka.EnsureTopics(t.Context(), cfg, 1, []kafka.Topic{topic})
		if err == nil || !strings.HasSuffix(strings.Split(err.Error(), " --bootstrap")[0], want) {
			t.Errorf("cleanup.policy %s gives %v, want it to end with %q", policy, err, want)
		}
	}
}

// Startup reports a topic that outlives the one made from it, and numbers of partitions
// that differ from the configuration.
func TestTopicsThatBelongTogether(t *testing.T) {
	c := fake(t)
	adm := adminOf(t, c)
	week, day := text("604800000"), text("86400000")
	for topic, ms := range map[string]*string{"events": week, "short": day, "long": week} {
		if _, err := adm.CreateTopic(t.Context(), 5, 1, map[string]*string{"retention.ms": ms}, topic); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: slog.New(slog.NewTextHandler(&log, nil))}
	counts, err := kafka.EnsureTopics(t.Context(), cfg, 1, []kafka.Topic{{Name: "events", Partitions: 5}, {Name: "short", Partitions: 5, Outlives: "events"},
		{Name: "long", Partitions: 3, Outlives: "events"}})
	if err != nil || counts["long"] != 5 {
		t.Fatal(counts, err)
	}
	said := strings.ReplaceAll(log.String(), `\"`, `"`)
	for _, want := range []string{`topic "short" has retention.ms 86400000, want 604800000: topic "events" is kept longer`, `topic "long" has partitions 5, want 3`} {
		if !strings.Contains(said, want) {
			t.Errorf("the log says %s, want %q", said, want)
		}
	}
	if n := strings.Count(said, "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, said)
	}
}

// monitored starts a cluster with a topic and a Monitor after its first look.
func monitored(t *testing.T) (*kadm.Client, *kafka.Monitor, kafka.Config) {
	t.Helper()
	c := fake(t)
	cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: quiet()}
	topics := []kafka.Topic{{Name: "a", Partitions: 2}, {Name: "state", Partitions: 2, Configs: map[string]*string{"cleanup.policy": text("compact")}}}
	if _, err := kafka.EnsureTopics(t.Context(), cfg, 1, topics); err != nil {
		t.Fatal(err)
	}
	m, err := kafka.NewMonitor(cfg, topics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for range 3 {
		if fault, away := m.Look(t.Context()); fault != nil || away != nil {
			t.Fatalf("with nothing changed: %v, %v", fault, away)
		}
	}
	return adminOf(t, c), m, cfg
}

// The Monitor finds changes of a topic within a few looks and names them; unreachable
// brokers are not a change.
func TestMonitorFindsChanges(t *testing.T) {
	f := func(name string, change func(adm *kadm.Client) error, want ...string) {
		t.Helper()
		adm, m, _ := monitored(t)
		if err := change(adm); err != nil {
			t.Fatal(err)
		}
		var fault, away error
		for i := 0; fault == nil && i < 5; i++ {
			if fault, away = m.Look(t.Context()); away != nil {
				t.Fatalf("%s: %v", name, away)
			}
		}
		for _, text := range want {
			if fault == nil || !strings.Contains(fault.Error(), text) {
				t.Errorf("%s: got %v, want %q", name, fault, text)
			}
		}
	}
	remove := func(adm *kadm.Client) error {
		_, err := adm.DeleteTopic(context.Background(), "a")
		return err
	}
	f("deleted", remove, `topic "a" was deleted`, "Starting over")
	f("created again", func(adm *kadm.Client) error {
		if err := remove(adm); err != nil {
			return err
		}
		_, err := adm.CreateTopic(context.Background(), 2, 1, nil, "a")
		return err
	}, `topic "a" was deleted and created again`, "Starting over")
	f("more partitions", func(adm *kadm.Client) error {
		r, err := adm.UpdatePartitions(context.Background(), 5, "a")
		if err == nil {
			err = r.Error()
		}
		return err
	}, `topic "a" has 5 partitions, but had 2`)
	f("another policy", func(adm *kadm.Client) error {
		r, err := adm.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: text("delete")}}, "state")
		if err == nil {
			err = r[0].Err
		}
		return err
	}, `topic "state" has cleanup.policy delete, want compact`, "kafka-configs.sh")
}

func TestMonitorWithoutBrokers(t *testing.T) {
	c := fake(t)
	cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Log: quiet()}
	topics := []kafka.Topic{{Name: "a", Partitions: 2}}
	if _, err := kafka.EnsureTopics(t.Context(), cfg, 1, topics); err != nil {
		t.Fatal(err)
	}
	m, err := kafka.NewMonitor(cfg, topics)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if fault, away := m.Look(t.Context()); fault != nil || away != nil {
		t.Fatal(fault, away)
	}
	c.Close()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		fault, away := m.Look(ctx)
		cancel()
		if fault != nil || away == nil {
			t.Errorf("with the brokers away: %v, %v; want no fault", fault, away)
		}
	}
}

// Standings and Oldest report the uncommitted records of a group, and since when they wait.
func TestStandings(t *testing.T) {
	adm, m, cfg := monitored(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	old := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 10 {
		r := &kgo.Record{Topic: "a", Partition: int32(i % 2), Value: []byte("v"), Timestamp: old.Add(time.Duration(i) * time.Minute)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want map[int32]kafka.Standing, oldest time.Time) {
		t.Helper()
		all, err := m.Standings(t.Context(), "g", "a")
		if err != nil {
			t.Fatal(err)
		}
		for p, w := range want {
			if all["a"][p] != w {
				t.Errorf("partition %d stands at %+v, want %+v", p, all["a"][p], w)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		times, err := m.Oldest(ctx, all)
		if err != nil || !times["a"].Equal(oldest) {
			t.Errorf("the oldest record is of %v (%v), want %v", times["a"], err, oldest)
		}
	}
	check(map[int32]kafka.Standing{0: {0, 5, 0, true}, 1: {0, 5, 0, true}}, old)
	var offsets kadm.Offsets
	offsets.AddOffset("a", 0, 3, -1)
	if err := adm.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	check(map[int32]kafka.Standing{0: {0, 5, 3, false}, 1: {0, 5, 0, true}}, old.Add(time.Minute))
	offsets.AddOffset("a", 1, 5, -1)
	if err := adm.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	check(map[int32]kafka.Standing{0: {0, 5, 3, false}, 1: {0, 5, 5, false}}, old.Add(6*time.Minute))
	kept, err := m.Retention(t.Context(), "a", "state")
	if err != nil || len(kept) != 1 || kept["a"] != 7*24*time.Hour {
		t.Errorf("retention %v, %v", kept, err)
	}
}
