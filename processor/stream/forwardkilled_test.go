package stream

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	mirror "keytrail/processor/sink/kafka"
	"keytrail/processor/sink/s3"
)

// killedEnv holds what makes the test binary the process that is killed: the type of its
// sink, the brokers, and the sink's endpoint, separated by blanks.
const killedEnv = "KEYTRAIL_TEST_KILLED"

// TestKilledForward: processes that forward to S3 and to another cluster are killed at random,
// also in pairs. Each record arrives once.
func TestKilledForward(t *testing.T) {
	if text := os.Getenv(killedEnv); text != "" {
		forwardForever(t, strings.Fields(text))
	}
	t.Run("s3", func(t *testing.T) {
		store := &objects{content: map[string][]byte{}}
		server := httptest.NewServer(store)
		defer server.Close()
		killAll(t, "s3 %s "+server.URL, func() []string { return store.ids(t) })
	})
	t.Run("kafka", func(t *testing.T) {
		target := kafkatest.Start(t).Brokers()
		createTopics(t, target, "keytrail.anomalies")
		killAll(t, "kafka %s "+strings.Join(target, ","), func() []string { return arrivedIn(t, target) })
	})
}

// killAll kills processes until all records of the source have arrived.
func killAll(t *testing.T, process string, arrived func() []string) {
	brokers := kafkatest.Start(t).Brokers()
	process = fmt.Sprintf(process, strings.Join(brokers, ","))
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})() // makes the topics
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	var want []string
	for round := range rounds {
		for p := range int32(2) {
			var keys []string
			for i := range 60 {
				keys = append(keys, fmt.Sprintf("high-%d-%d-%d", round, p, i))
			}
			anomalies(t, brokers, p, keys...)
			want = append(want, keys...)
		}
		kills := []func(){killed(t, process)}
		if round%2 == 1 {
			kills = append(kills, killed(t, process))
		}
		before, deadline := len(arrived()), time.Now().Add(time.Minute)
		for len(arrived()) == before && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		for _, kill := range kills {
			kill()
		}
	}
	defer killed(t, process)()
	slices.Sort(want)
	waitFor(t, "the last process has everything", func() bool { return len(arrived()) >= len(want) })
	if got := arrived(); !slices.Equal(got, want) {
		t.Errorf("%d records arrived, want %d; %d of them once", len(got), len(want), len(slices.Compact(got)))
	}
}

// forwardForever is the process that is killed.
func forwardForever(t *testing.T, words []string) {
	aws := s3.DefaultConfig()
	aws.Region, aws.Endpoint, aws.Bucket = "eu-central-1", words[2], "archive"
	other := mirror.DefaultConfig()
	other.Brokers = strings.Split(words[2], ",")
	config := map[string]sink.Config{"s3": &aws, "kafka": &other}[words[0]]
	to, err := config.Open(sink.Identity{Name: "archive", Group: "test-forward-archive", Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline(t, strings.Split(words[1], ","))
	p.Kafka.SessionTimeout = 6 * time.Second // the shortest that brokers allow
	p.Sinks = []Destination{{Name: "archive", Sink: to, Anomalies: true, From: sink.Earliest(), InFlight: 2,
		Batch: sink.Batch{Records: 1 + rand.N(40), Bytes: 1 << 20, Linger: rand.N(300 * time.Millisecond)},
		Retry: sink.Retry{Base: time.Millisecond, Cap: 10 * time.Millisecond}}}
	start(t, p, Stages{Forward: true})
	fmt.Println("started")
	select {}
}

// killed starts such a process, and returns the function that kills it.
func killed(t *testing.T, process string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledForward$")
	cmd.Env = append(os.Environ(), killedEnv+"="+process, "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b",
		"AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the process says %q (%v)", line, err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// createTopics makes topics of one partition.
func createTopics(t *testing.T, brokers []string, topics ...string) {
	t.Helper()
	if made, err := admin(t, brokers).CreateTopics(t.Context(), 1, 1, nil, topics...); err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
}

// arrivedIn returns the keys of the committed records of the target, in order.
func arrivedIn(t *testing.T, brokers []string) (keys []string) {
	t.Helper()
	ends, err := admin(t, brokers).ListCommittedOffsets(t.Context(), "keytrail.anomalies")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup("keytrail.anomalies", 0)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("keytrail.anomalies"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for at := int64(0); at < end.Offset; {
		within, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		fetches := client.PollFetches(within)
		cancel()
		if within.Err() != nil && fetches.Empty() {
			return slices.Sorted(slices.Values(keys)) // aborted records at the end
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if at = r.Offset + 1; !r.Attrs.IsControl() {
				keys = append(keys, string(r.Key))
			}
		})
	}
	return slices.Sorted(slices.Values(keys))
}

// objects is a stand-in for PutObject that is slow, and loses every fifth answer.
type objects struct {
	mu      sync.Mutex // guards what follows
	content map[string][]byte
	n       int
}

func (o *objects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return // the process is dead
	}
	time.Sleep(rand.N(30 * time.Millisecond))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.content[r.URL.Path] = content
	if o.n++; o.n%5 == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", `"e"`)
}

// ids returns the ids of the anomalies in all objects, in order.
func (o *objects) ids(t *testing.T) (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for object := range maps.Values(o.content) {
		z, err := gzip.NewReader(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, id, _ := strings.Cut(line, `"keytrail.anomaly.id":"`)
			id, _, _ = strings.Cut(id, `"`)
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}
