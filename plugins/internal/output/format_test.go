package output

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/setting"
)

// Every format keeps the event, has the call's id as its key, and is what its name
// says, by others' libraries.
func TestFormats(t *testing.T) {
	body := map[string]func(t *testing.T, value []byte) string{
		FormatRaw: func(_ *testing.T, value []byte) string { return string(value) },
		FormatJSON: func(t *testing.T, value []byte) string {
			var logs logspb.LogsData
			if err := protojson.Unmarshal(value, &logs); err != nil {
				t.Fatalf("%v in %s", err, value)
			}
			return logs.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0].GetBody().GetStringValue()
		},
	}
	for format, of := range body {
		t.Run(format, func(t *testing.T) {
			b := newBench(t, func(c *Config) { c.Format = format }, seeded())
			b.flush(OK, flat(event(1)), flat("{"), foreign(t, map[string]any{"log": `{"Records":[` + event(2) + `]}`}))
			got := map[string]string{}
			for _, r := range b.read("kms.events") {
				got[string(r.Key)] = of(t, r.Value)
			}
			if len(got) != 2 || got[id(1)] != event(1) || got[id(2)] != event(2) {
				t.Errorf("got %q", got)
			}
			if len(b.read("kms.deadletter")) != 1 {
				t.Error("the dead letter is missing")
			}
		})
	}
}

// A copy of a call goes to the partition of its call, whatever it is sent as.
func TestFormatsPartitionByCall(t *testing.T) {
	partition := map[string]int32{}
	for _, format := range []string{FormatProto, FormatJSON, FormatRaw} {
		b := newBench(t, func(c *Config) { c.Format = format }, kfake.SeedTopics(16, "kms.events"), kfake.SeedTopics(1, "kms.deadletter"))
		for i := range 20 {
			b.flush(OK, flat(event(i)))
		}
		for _, r := range b.read("kms.events") {
			if p, ok := partition[string(r.Key)]; ok && p != r.Partition {
				t.Errorf("%s: call %s is in partition %d, and was in %d", format, r.Key, r.Partition, p)
			}
			partition[string(r.Key)] = r.Partition
			if want := kafka.KeyPartition(r.Key, 16); r.Partition != want {
				t.Errorf("%s: call %s is in partition %d, others put it into %d", format, r.Key, r.Partition, want)
			}
		}
	}
	if len(partition) != 20 {
		t.Errorf("%d calls, want 20", len(partition))
	}
}

func TestAcksOfTheLeader(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Acks = AcksLeader }, seeded())
	b.flush(OK, flat(event(0)), flat(event(1)))
	b.wantOnce(2)
	if acks := b.o.client.OptValue(kgo.RequiredAcks); acks != kgo.LeaderAck() {
		t.Errorf("the client wants %v", acks)
	}
}

// What Fluent Bit's own inputs make of an event.
func TestFlushOfOtherInputs(t *testing.T) {
	b := newBench(t, nil, seeded())
	var asMap map[string]any
	if err := json.Unmarshal([]byte(event(3)), &asMap); err != nil {
		t.Fatal(err)
	}
	var envelope map[string]any
	if err := json.Unmarshal([]byte(`{"Records":[`+event(4)+`]}`), &envelope); err != nil {
		t.Fatal(err)
	}
	start, end := []byte{0x92, 0x92, 0xd7, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x81, 0xa1, 'a', 1, 0x80}, []byte{0x92, 0x92, 0xd7, 0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0x80, 0x80}
	b.flush(OK,
		foreign(t, map[string]any{"log": event(0)}), // tail, forward
		start, foreign(t, map[string]any{"message": event(1), "host": "h"}), end, // a group, as of OTLP
		foreign(t, map[string]any{"topic": "trail", "partition": 3, "offset": 99, "error": nil, "key": nil, "payload": event(2)}), // kafka
		foreign(t, map[string]any{"topic": "trail", "partition": 3, "offset": 99, "error": nil, "key": "k", "payload": asMap}),    // kafka, format json
		foreign(t, envelope), // http
	)
	got := b.events()
	for i := range 5 {
		if len(got[id(i)]) != 1 || !strings.Contains(got[id(i)][0], id(i)) {
			t.Errorf("event %d arrived as %q", i, got[id(i)])
		}
	}
	if s := b.o.Stats(); s != (Stats{Received: 5, Delivered: 5}) {
		t.Errorf("stats %+v", s)
	}
}

// On a real Kafka that wants TLS and SASL: delivered with the right password, and with
// a wrong one kept, with a line in the log that says why.
func TestSecurity(t *testing.T) {
	if os.Getenv(kafkatest.Variable) != "real" {
		t.Log("SKIPPED: TLS and SASL are NOT tested: they need a real Kafka, make integration")
		t.Skip("needs a real Kafka: make integration")
	}
	s, err := kafkatest.StartSecured(t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := kafka.EnsureTopics(t.Context(), kafka.Config{Brokers: s.Brokers()}, 1, []kafka.Topic{{Name: "kms.events", Partitions: 2}, {Name: "kms.deadletter", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	made := func(password, ca string) (*Output, *[]string) {
		cfg, lines := DefaultConfig(), new([]string)
		cfg.Brokers = []string{s.SASL}
		cfg.Security = kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: ca},
			SASL: kafka.SASL{Mechanism: kafka.MechanismSHA512, Username: kafkatest.User, Password: setting.NewSecret(password)}}
		o, err := New(cfg, "out_kms.0", logging.New("", nil, func(_ logging.Level, s string) { *lines = append(*lines, s) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Close)
		return o, lines
	}
	good, lines := made(kafkatest.Password, s.CA)
	for try := 0; good.Flush(flat(event(1)), "t") != OK; try++ {
		if good.log.Emit(); try == 30 {
			t.Fatalf("not delivered; log: %q", *lines)
		}
	}
	f := func(password, ca, want string) {
		t.Helper()
		o, lines := made(password, ca)
		for try := 0; !strings.Contains(strings.Join(*lines, "\n"), want); try++ {
			if try == 30 {
				t.Fatalf("the log says %q, want %q", *lines, want)
			}
			if got := o.Flush(flat(event(1)), "t"); got != Retry {
				t.Fatalf("the flush returned %d", got)
			}
			o.log.Emit()
		}
	}
	f("hunter2", s.CA, `the brokers refuse SASL SCRAM-SHA-512 for user "keytrail"; check the user and the password`)
	f(kafkatest.Password, s.OtherCA, "signed the broker's certificate; set ca_file to the PEM file of its authority")
}
