package stream

import (
	"bufio"
	"bytes"
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

	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/processor/sink/s3"
)

// killedEnv holds what makes the test binary the process that is killed: the brokers and the
// endpoint of S3, separated by a blank.
const killedEnv = "KEYTRAIL_TEST_KILLED"

// TestObjectsOfKilledProcesses: processes that forward to S3 are killed at random, also in
// pairs. The objects hold each record once.
func TestObjectsOfKilledProcesses(t *testing.T) {
	if text := os.Getenv(killedEnv); text != "" {
		forwardForever(t, text)
	}
	brokers := kafkatest.Start(t).Brokers()
	store := &objects{content: map[string][]byte{}}
	server := httptest.NewServer(store)
	defer server.Close()
	forwards(t, brokers, Destination{Name: "first", Sink: &shelf{}})() // makes the topics
	rounds := 6
	if testing.Short() {
		rounds = 2
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
		kills := []func(){killed(t, brokers, server.URL)}
		if round%2 == 1 {
			kills = append(kills, killed(t, brokers, server.URL))
		}
		before := store.writes()
		deadline := time.Now().Add(time.Minute)
		for store.writes() == before && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		for _, kill := range kills {
			kill()
		}
	}
	last := killed(t, brokers, server.URL)
	defer last()
	slices.Sort(want)
	waitFor(t, "the last process has everything", func() bool { return len(store.ids(t)) >= len(want) })
	if got := store.ids(t); !slices.Equal(got, want) {
		t.Errorf("%d records are stored, want %d; %d of them once", len(got), len(want), len(slices.Compact(got)))
	}
	t.Logf("%d records in %d objects, %d writes", len(want), len(store.content), store.writes())
}

// forwardForever is the process that is killed.
func forwardForever(t *testing.T, text string) {
	brokers, endpoint, _ := strings.Cut(text, " ")
	c := s3.DefaultConfig()
	c.Region, c.Endpoint, c.Bucket = "eu-central-1", endpoint, "archive"
	to, err := c.Open(sink.Identity{Name: "archive"})
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline(t, strings.Split(brokers, ","))
	p.Kafka.SessionTimeout = 6 * time.Second // the shortest that brokers allow
	p.Sinks = []Destination{{Name: "archive", Sink: to, Anomalies: true, From: sink.Earliest(), InFlight: 2,
		Batch: sink.Batch{Records: 1 + rand.N(40), Bytes: 1 << 20, Linger: rand.N(300 * time.Millisecond)},
		Retry: sink.Retry{Base: time.Millisecond, Cap: 10 * time.Millisecond}}}
	start(t, p, Stages{Forward: true})
	fmt.Println("started")
	select {}
}

// killed starts such a process, and returns the function that kills it.
func killed(t *testing.T, brokers []string, endpoint string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestObjectsOfKilledProcesses$")
	cmd.Env = append(os.Environ(), killedEnv+"="+strings.Join(brokers, ",")+" "+endpoint, "AWS_ACCESS_KEY_ID=a",
		"AWS_SECRET_ACCESS_KEY=b", "AWS_EC2_METADATA_DISABLED=true")
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

func (o *objects) writes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
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
