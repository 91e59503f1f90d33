package stream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/corpus"
	"keytrail/schemas/wire"
)

// rawStage is stage normalize without Kafka.
func rawStage(records int, bytes int64) *normalizer {
	return newNormalizer(&Pipeline{
		Topics: wire.DefaultTopics(), Partitions: map[string]int32{"kms.events": 8, "kms.deadletter": 1},
		MessageRecords: records, MessageBytes: bytes,
	})
}

// packed is a message of n small events.
func packed(n int, extra string) []byte {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"eventVersion":"1","eventTime":"2026-11-20T09:00:01Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"%d"%s}`+"\n", i, extra)
	}
	return compressed([]byte(text.String()))
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// A small message of millions of events is refused as a whole: none of it is published or
// held, and the dead letter has all of it.
func TestBombIsRefused(t *testing.T) {
	value := packed(200_000, "")
	n := rawStage(0, 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := n.Process(&kgo.Record{Topic: "kms.raw", Partition: 2, Offset: 7, Value: value}); err != nil {
		t.Fatal(err)
	}
	if c := &n.counts; c.Received.Load() != 1 || c.Dead.Load() != 1 || c.Delivered.Load() != 0 || c.Filtered.Load() != 0 || n.stats.reasons["too_many"] != 1 {
		t.Errorf("counted %d received, %d dead, %d delivered, %v", c.Received.Load(), c.Dead.Load(), c.Delivered.Load(), n.stats.reasons)
	}
	if len(n.out) != 1 || !bytes.Equal(n.out[0].Value, value) || headerOf(n.out[0], "reason") != "too_many" || headerOf(n.out[0], "object") != "kms.raw/2" || headerOf(n.out[0], "offset") != "7" {
		t.Fatalf("%d records, want a dead letter with the whole message", len(n.out))
	}
	if d := headerOf(n.out[0], "detail"); !strings.Contains(d, "decode.message_records") {
		t.Errorf("the detail %q does not say what to do", d)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 50<<20 {
		t.Errorf("%d MB are held", held>>20)
	}
}

// A message that was compressed in its producer's batch and exceeds the dead letter limit
// is compressed there, complete.
func TestRefusedMessageIsWhole(t *testing.T) {
	n, value := rawStage(1000, 0), []byte(strings.Repeat(`{"eventVersion":"1","eventTime":"2026-11-20T09:00:01Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt"}`+"\n", 20_000))
	if err := n.Process(&kgo.Record{Topic: "kms.raw", Value: value}); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(n.out[0].Value))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, value) || headerOf(n.out[0], "cut") != "" {
		t.Errorf("the dead letter has %d bytes of %d, %v", len(got), len(value), err)
	}
}

// The content of one large file passes whole.
func TestLargeFileInOneMessage(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(`{"Records":[`)
	const events = 25_000
	for record := range corpus.Records(events) {
		if text.Len() > 20 {
			text.WriteByte(',')
		}
		text.Write(record)
	}
	text.WriteString(`]}`)
	n := rawStage(0, 0)
	if err := n.Process(&kgo.Record{Topic: "kms.raw", Value: compressed(text.Bytes())}); err != nil {
		t.Fatal(err)
	}
	if got := n.counts.Delivered.Load() + n.counts.Filtered.Load(); got != events || n.counts.Dead.Load() != 0 {
		t.Errorf("%d of %d events taken, %d dead letters: %v", got, events, n.counts.Dead.Load(), n.stats.reasons)
	}
}

// Whatever messages come in whatever order, each is published once or refused as a whole,
// and the stage holds no more than its bounds.
func TestMessagesAreBounded(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const records, size = 400, 1 << 20
		n := rawStage(records, size)
		var messages [][]byte
		want, refused := 0, 0
		for range 60 {
			events := []int{1, 1, 1, 10, records - 1, records, records + 1, 5 * records}[rng.IntN(8)]
			messages = append(messages, packed(events, fmt.Sprintf(`,"requestParameters":{"x":%q}`, strings.Repeat("x", rng.IntN(900)))))
			if events > records {
				refused++
			} else {
				want += events
			}
		}
		got, letters := 0, 0
		emit := func(r *kgo.Record) {
			if r.Topic == "kms.deadletter" {
				letters++
			} else {
				got++
			}
		}
		for offset := 0; offset < len(messages); { // like Transact
			for offset < len(messages) {
				room := n.room()
				if room < 1 {
					break
				}
				for range min(room, 20, len(messages)-offset) {
					if err := n.Process(&kgo.Record{Topic: "kms.raw", Offset: int64(offset), Value: messages[offset]}); err != nil {
						t.Fatal(err)
					}
					offset++
					if n.held > mostHeld+size+overhead {
						t.Fatalf("seed %d: %d bytes are held", seed, n.held)
					}
					n.flush(emit)
				}
			}
			if _, err := n.Output(time.Now(), emit); err != nil {
				t.Fatal(err)
			}
			n.drop()
			if n.room() < 1 {
				t.Fatalf("seed %d: no room at the beginning of a transaction", seed)
			}
		}
		if got != want || letters != refused {
			t.Errorf("seed %d: %d records and %d letters, want %d and %d", seed, got, letters, want, refused)
		}
	}
}
