package stream

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/source"
	"keytrail/processor/source/feed"
	"keytrail/schemas/otellog"
)

// checkedFeed calls check before each Done, and records what is done.
type checkedFeed struct {
	feed.Feed
	check func(o source.Object)
	mu    sync.Mutex // guards done
	done  map[string]bool
}

func (f *checkedFeed) Done(o source.Object) {
	f.check(o)
	f.mu.Lock()
	f.done[filepath.Base(o.Name)] = true
	f.mu.Unlock()
	f.Feed.Done(o)
}

func (f *checkedFeed) has(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.done) == n
}

// folder opens a folder as a source.
func folder(t *testing.T, dir, checkpoint string) feed.Feed {
	t.Helper()
	f, err := feed.Open(t.Context(), feed.Config{Kind: feed.File, Path: dir, FromBeginning: true, Checkpoint: checkpoint,
		PollInterval: 20 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// call returns a CloudTrail record of a KMS call.
func call(id string) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com",`+
		`"eventName":"Decrypt","eventID":%q,"awsRegion":"eu-central-1","recipientAccountId":"111122223333"}`, id)
}

// trailFiles writes n files of a few calls, each file also with a record that is not one, and
// returns the calls' ids by file.
func trailFiles(t *testing.T, dir string, n int) map[string][]string {
	t.Helper()
	ids := map[string][]string{}
	for i := range n {
		name := fmt.Sprintf("f%03d.json", i)
		var lines []string
		for k := range 1 + i%4 {
			id := fmt.Sprintf("%s-%d", name, k)
			ids[name] = append(ids[name], id)
			lines = append(lines, call(id))
		}
		lines = append(lines, fmt.Sprintf(`{"eventVersion":"1.11","eventName":"%s"`, name)) // torn
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// inKafka returns how often each id is in kms.events, and how many dead letters there are of
// each file.
func inKafka(t *testing.T, brokers []string) (ids, letters map[string]int) {
	t.Helper()
	ids, letters = map[string]int{}, map[string]int{}
	p := pipeline(t, brokers)
	var rec otellog.Record
	readTopic(t, brokers, p.Topics.Events, p.Events, func(r *kgo.Record) error {
		err := rec.Decode(r.Value)
		ids[strings.Clone(rec.Str("log.record.uid"))]++
		return err
	})
	readTopic(t, brokers, p.Topics.DeadLetter, 1, func(r *kgo.Record) error {
		for _, h := range r.Headers {
			if strings.Contains(string(h.Value), ".json") {
				letters[filepath.Base(string(h.Value))]++
			}
		}
		return nil
	})
	return ids, letters
}

// collecting runs stage collect over a folder. Each Done checks that Kafka has all of the file.
func collecting(t *testing.T, brokers []string, dir, checkpoint string, ids map[string][]string) (*Pipeline, *checkedFeed) {
	p := pipeline(t, brokers)
	f := &checkedFeed{Feed: folder(t, dir, checkpoint), done: map[string]bool{}}
	f.check = func(o source.Object) {
		name := filepath.Base(o.Name)
		have, letters := inKafka(t, brokers)
		for _, id := range ids[name] {
			if have[id] == 0 {
				t.Errorf("%s is done, and Kafka does not have its event %s", name, id)
			}
		}
		if letters[name] == 0 {
			t.Errorf("%s is done, and Kafka does not have its dead letter", name)
		}
	}
	p.Sources = []Source{{Name: "folder", Kind: feed.File, Feed: f, Interval: 20 * time.Millisecond, Readers: 3}}
	return p, f
}

// TestDoneBehindKafka: while Kafka refuses records at random and the stage stops and starts at
// random, a file is done only once Kafka has all of its records and dead letters, and in the
// end all files are done.
func TestDoneBehindKafka(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	random := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex // guards random, refused
	refused := 0
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(3) > 0 {
			return nil, nil, false
		}
		refused++
		return refusal(req.(*kmsg.ProduceRequest)), nil, true
	})
	brokers, dir := c.ListenAddrs(), t.TempDir()
	ids := trailFiles(t, dir, 24)
	checkpoint := filepath.Join(t.TempDir(), "checkpoint")
	done := map[string]bool{}
	for run := 0; len(done) < len(ids); run++ {
		if run == 200 {
			t.Fatalf("only %d of %d files are done after %d runs", len(done), len(ids), run)
		}
		p, f := collecting(t, brokers, dir, checkpoint, ids)
		stop := start(t, p, Stages{Collect: true})
		mu.Lock()
		pause := time.Duration(random.IntN(2000)) * time.Millisecond
		mu.Unlock()
		time.Sleep(pause)
		stop()
		for name := range f.done {
			if done[name] {
				t.Errorf("%s is read again, although the checkpoint has it", name)
			}
			done[name] = true
		}
		balanced(t, p)
	}
	if refused == 0 {
		t.Error("Kafka refused nothing")
	}
}

// refusal is Kafka's answer that a policy forbids all records of a request, which the client
// does not send again.
func refusal(req *kmsg.ProduceRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		one := kmsg.NewProduceResponseTopic()
		one.Topic, one.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			answer := kmsg.NewProduceResponseTopicPartition()
			answer.Partition, answer.ErrorCode = partition.Partition, kerr.PolicyViolation.Code
			one.Partitions = append(one.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, one)
	}
	return resp
}

// TestCollectGivesUp: a file that is damaged becomes one dead letter and does not hold up the
// others; one that may not be read waits, which the metrics show, and is read later.
func TestCollectGivesUp(t *testing.T) {
	brokers, dir := broker(t), t.TempDir()
	for _, name := range []string{"a.json", "b.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(call(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := pipeline(t, brokers)
	get := served(t, p)
	f := &failingFeed{checkedFeed: checkedFeed{Feed: folder(t, dir, filepath.Join(t.TempDir(), "checkpoint")),
		check: func(source.Object) {}, done: map[string]bool{}}}
	p.Sources = []Source{{Name: "folder", Kind: feed.File, Feed: f, Interval: 20 * time.Millisecond, Readers: 1}}
	start(t, p, Stages{Collect: true})
	waitFor(t, "the damaged file is done", func() bool { return f.has(1) })
	waitFor(t, "the other waits", func() bool {
		_, text := get("/metrics")
		return strings.Contains(text, `keytrail_source_waiting{source="folder",stage="collect"} 1`) &&
			strings.Contains(text, `keytrail_source_oldest_waiting_timestamp_seconds{`) &&
			strings.Contains(text, `keytrail_source_polled_timestamp_seconds{`)
	})
	waitFor(t, "it is ready", func() bool { status, _ := get("/readyz"); return status == 200 })
	f.healed.Store(true)
	waitFor(t, "both are done", func() bool { return f.has(2) })
	ids, letters := inKafka(t, brokers)
	if ids["b.json"] != 1 || ids["a.json"] != 0 || letters["a.json"] == 0 || letters["b.json"] != 0 {
		t.Errorf("published %v, dead letters %v", ids, letters)
	}
}

// failingFeed makes a.json damaged, and b.json forbidden until it has healed.
type failingFeed struct {
	checkedFeed
	healed atomic.Bool
}

func (f *failingFeed) Poll(ctx context.Context) ([]source.Object, error) {
	list, err := f.checkedFeed.Poll(ctx)
	for i := range list {
		open := list[i].Open
		switch filepath.Base(list[i].Name) {
		case "a.json":
			list[i].Open = func() (io.ReadCloser, error) {
				return nil, &source.Rejected{Reason: source.ReasonTooBig, Detail: "of the test"}
			}
		case "b.json":
			list[i].Open = func() (io.ReadCloser, error) {
				if !f.healed.Load() {
					return nil, source.Denied(os.ErrPermission)
				}
				return open()
			}
		}
	}
	return list, err
}

// hideSettings makes a cluster refuse DescribeConfigs, so that the start does not see that the
// bounds of topics are too low.
func hideSettings(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, one := range req.(*kmsg.DescribeConfigsRequest).Resources {
			answer := kmsg.NewDescribeConfigsResponseResource()
			answer.ErrorCode, answer.ResourceType, answer.ResourceName = kerr.TopicAuthorizationFailed.Code, one.ResourceType, one.ResourceName
			resp.Resources = append(resp.Resources, answer)
		}
		return resp, nil, true
	})
}

// TestRefusedForGood: a record that the broker never takes holds up no other record: it goes to
// the dead letter with its reason, and only it. A letter that is itself too large is cut.
func TestRefusedForGood(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hideSettings(c)
	brokers, dir := c.ListenAddrs(), t.TempDir()
	p := pipeline(t, brokers)
	bound := "2500"
	for topic, partitions := range map[string]int32{p.Topics.Events: p.Events, p.Topics.DeadLetter: 1} {
		if _, err := admin(t, brokers).CreateTopic(t.Context(), partitions, 1, map[string]*string{"max.message.bytes": &bound}, topic); err != nil {
			t.Fatal(err)
		}
	}
	ids := trailFiles(t, dir, 40)
	random := make([]byte, 20_000)
	for i := range random {
		random[i] = byte('a' + rand.IntN(26)) // does not compress below the bound
	}
	large := strings.Replace(call("large"), "{", fmt.Sprintf(`{"userAgent":%q,`, random), 1)
	if err := os.WriteFile(filepath.Join(dir, "g.json"), []byte(call("before")+"\n"+large+"\n"+call("behind")), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &checkedFeed{Feed: folder(t, dir, filepath.Join(t.TempDir(), "checkpoint")), check: func(source.Object) {}, done: map[string]bool{}}
	p.Sources = []Source{{Name: "folder", Kind: feed.File, Feed: f, Interval: 20 * time.Millisecond, Readers: 3}}
	get := served(t, p)
	start(t, p, Stages{Collect: true})
	waitFor(t, "every file is done", func() bool { return f.has(len(ids) + 1) })
	waitFor(t, "it is ready", func() bool { status, _ := get("/readyz"); return status == 200 })
	have, _ := inKafka(t, brokers)
	ids["g.json"] = []string{"before", "behind"}
	for _, id := range slices.Concat(slices.Collect(maps.Values(ids))...) {
		if have[id] == 0 {
			t.Errorf("the event %s is not in Kafka", id)
		}
	}
	refused := 0
	readTopic(t, brokers, p.Topics.DeadLetter, 1, func(r *kgo.Record) error {
		text := fmt.Sprintf("%s", r.Headers)
		if !strings.Contains(text, string(reasonRefused)) {
			return nil
		}
		refused++
		if have["large"] != 0 || !strings.HasPrefix(large, string(r.Value)) || len(r.Value) < 1000 || !strings.Contains(text, "cut") ||
			!strings.Contains(text, "MESSAGE_TOO_LARGE") {
			t.Errorf("the dead letter of the large record is %s %.100q", text, r.Value)
		}
		return nil
	})
	if refused != 1 {
		t.Errorf("%d records are refused for good, want 1", refused)
	}
	balanced(t, p)
}
