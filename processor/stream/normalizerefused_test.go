package stream

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// incompressible returns n characters that no codec makes smaller by much.
func incompressible(n int) string {
	random := make([]byte, n/2)
	rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// Records that Kafka never takes hold up no other record of stage normalize: they go to the
// dead letter, and only they. A letter that is too large is cut.
func TestNormalizeRefusedForGood(t *testing.T) {
	t.Parallel() // it mostly waits
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hideSettings(c)
	brokers := c.ListenAddrs()
	p := pipeline(t, brokers)
	bound := "3000"
	for topic, partitions := range map[string]int32{p.Topics.Events: p.Events, p.Topics.DeadLetter: 1} {
		if _, err := admin(t, brokers).CreateTopic(t.Context(), partitions, 1, map[string]*string{"max.message.bytes": &bound}, topic); err != nil {
			t.Fatal(err)
		}
	}
	var messages [][]byte
	var want []string
	for i := range 16 {
		id := fmt.Sprint("call-", i)
		text := call(id)
		switch want = append(want, id); i {
		case 7, 14: // two records in one message, the second of which is too large
			text += "\n" + strings.Replace(call(fmt.Sprint("large-", i)), "{", fmt.Sprintf(`{"userAgent":%q,`, incompressible(4_000)), 1)
		case 12: // a letter that is too large
			text += "\n" + `{"eventName":` + incompressible(4_000)
		}
		messages = append(messages, []byte(text))
	}
	get := served(t, p)
	start(t, p, Stages{Normalize: true})
	produce(t, brokers, p.Topics.Raw, messages)
	letters := map[string]int{}
	waitFor(t, "the last call and the letters are in Kafka", func() bool {
		have, _ := inKafka(t, brokers)
		clear(letters)
		readTopic(t, brokers, p.Topics.DeadLetter, 1, func(r *kgo.Record) error {
			letters[headerOf(r, "reason")]++
			if headerOf(r, "reason") == string(reasonRefused) && (!strings.Contains(headerOf(r, "detail"), "MESSAGE_TOO_LARGE") ||
				!strings.Contains(string(r.Value), "large-") && len(r.Value) > 3000) {
				t.Errorf("the dead letter of a large record is %s %.100q", r.Headers, r.Value)
			}
			return nil
		})
		return have["call-15"] > 0 && letters[string(reasonRefused)] == 2
	})
	have, _ := inKafka(t, brokers)
	for _, id := range want {
		if have[id] != 1 {
			t.Errorf("the event %s is in Kafka %d times, want once", id, have[id])
		}
	}
	if len(have) != len(want) || len(letters) != 2 {
		t.Errorf("Kafka has %d events and the letters %v", len(have), letters)
	}
	waitFor(t, "it is ready", func() bool { status, _ := get("/readyz"); return status == 200 })
}

// A record that Kafka takes for invalid is named by its place, and the stage forgets all of it
// behind the messages that came again.
func TestRefusedByPlace(t *testing.T) {
	n := rawStage(0, 0)
	if err := n.Assign(t.Context(), []int32{0}); err != nil {
		t.Fatal(err)
	}
	pass := func(offsets ...int64) (written []*kgo.Record) {
		for _, o := range offsets {
			if err := n.Process(&kgo.Record{Topic: n.p.Topics.Raw, Offset: o, Value: []byte(call("a") + "\n" + call("b"))}); err != nil {
				t.Fatal(err)
			}
		}
		n.emit(func(r *kgo.Record) { written = append(written, r) })
		return written
	}
	topics := func(list []*kgo.Record) (names []string) {
		for _, r := range list {
			names = append(names, strings.TrimPrefix(r.Topic, "kms."))
		}
		return names
	}
	written := pass(3, 4)
	n.refusals.ended(false)
	n.drop()
	for _, r := range written {
		n.refused(r, kerr.InvalidRecord)
	}
	if !n.careful() || n.room() != 1 {
		t.Fatal("after a refusal messages do not come alone")
	}
	written = pass(3)
	if n.room() != 0 {
		t.Error("a second message joins the one that comes alone")
	}
	n.refusals.ended(false)
	n.drop()
	n.refused(written[1], kerr.InvalidRecord)
	if got := topics(pass(3)); !slices.Equal(got, []string{"events", "deadletter"}) {
		t.Errorf("the message comes again as %v", got)
	}
	n.refusals.ended(true)
	n.drop()
	if got := topics(pass(4)); !slices.Equal(got, []string{"events", "events"}) {
		t.Errorf("the next message comes as %v", got)
	}
	n.refusals.ended(true)
	n.drop()
	if n.careful() || n.refusals.bad != nil {
		t.Error("the stage goes on one by one, behind all messages that came again")
	}
}
