package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

var counting = Stages{Normalize: true, Count: true, Detect: true}

// counted lets a pipeline count a trail and stop. It returns the trail.
func counted(t *testing.T, brokers []string) [][]byte {
	t.Helper()
	records := trail(t, generate.Config{Seed: 21, Start: time.Now().Add(-30 * time.Hour), Duration: 26 * time.Hour, Events: 1500, DuplicateShare: 0.1})
	p := pipeline(t, brokers)
	stop := start(t, p, counting)
	produce(t, brokers, p.Topics.Raw, records)
	caughtUp(t, brokers, p)
	stop()
	return records
}

// ends runs stages until they end by themselves, as they must, and returns the error.
func ends(t *testing.T, p *Pipeline, s Stages) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	err := p.Run(ctx, s)
	if ctx.Err() != nil {
		t.Fatal("the stages do not end by themselves")
	}
	return err
}

func deleteTopic(t *testing.T, brokers []string, topics ...string) {
	t.Helper()
	if gone, err := admin(t, brokers).DeleteTopics(t.Context(), topics...); err != nil || gone.Error() != nil {
		t.Fatal(err, gone.Error())
	}
}

// cut deletes the records of a topic before an offset, 0 for its end, in each partition.
func cut(t *testing.T, brokers []string, topic string, at int64) {
	t.Helper()
	adm := admin(t, brokers)
	ends, err := adm.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var to kadm.Offsets
	ends.Each(func(o kadm.ListedOffset) {
		if at > 0 {
			o.Offset = min(o.Offset, at)
		}
		to.AddOffset(topic, o.Partition, o.Offset, -1)
	})
	policy := func(value string) {
		t.Helper()
		if done, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &value}}, topic); err != nil || done[0].Err != nil {
			t.Fatal(err, done[0].Err)
		}
	}
	if topic == wire.DefaultTopics().Dedup || topic == wire.DefaultTopics().State { // Kafka deletes records only where they may expire
		policy("delete")
		defer policy("compact")
	}
	waitFor(t, "the records are deleted", func() bool { // once every broker has heard of the policy
		done, err := adm.DeleteRecords(t.Context(), to)
		return err == nil && done.Error() == nil
	})
}

// regrow recreates a topic with more records than before, while no process runs: offsets
// and leader epochs look as if it had continued.
func regrow(t *testing.T, brokers []string, topic string) {
	t.Helper()
	adm := admin(t, brokers)
	ends, err := adm.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	deleteTopic(t, brokers, topic)
	waitFor(t, "the topic is made anew", func() bool {
		made, err := adm.CreateTopic(t.Context(), int32(len(ends[topic])), 1, nil, topic)
		return err == nil && made.Err == nil
	})
	most := int64(0)
	ends.Each(func(o kadm.ListedOffset) { most = max(most, o.Offset) })
	more := make([][]byte, most+5)
	for i := range more {
		more[i] = []byte("another record")
	}
	var others []int32
	for p := range int32(len(ends[topic])) - 1 {
		others = append(others, p+1)
	}
	produce(t, brokers, topic, more, others...)
}

// deleteGroups deletes the offsets of stages, as Kafka does a week after the last member has left.
func deleteGroups(t *testing.T, brokers []string, groups ...string) {
	t.Helper()
	adm := admin(t, brokers)
	waitFor(t, "the groups are deleted", func() bool {
		done, err := adm.DeleteGroups(t.Context(), groups...)
		return err == nil && done.Error() == nil
	})
}

// If data of a topic that counting needs is deleted or truncated, the stages end with a
// named error that has a section in docs/operations.md: nothing counts twice, and nothing
// is lost silently.
func TestWhatIsMissingIsNamed(t *testing.T) {
	topics := wire.DefaultTopics()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, brokers []string)
		want   error
	}{
		{"kms.dedup deleted", func(t *testing.T, b []string) { deleteTopic(t, b, topics.Dedup) }, kafka.ErrStateMissing},
		{"kms.dedup cut at its beginning", func(t *testing.T, b []string) { cut(t, b, topics.Dedup, 1) }, kafka.ErrStateMissing},
		{"kms.dedup cut as a whole", func(t *testing.T, b []string) { cut(t, b, topics.Dedup, 0) }, kafka.ErrStateMissing},
		{"kms.dedup cut and no offsets", func(t *testing.T, b []string) {
			cut(t, b, topics.Dedup, 1)
			deleteGroups(t, b, "test-count")
		}, kafka.ErrStateMissing},
		{"kms.dedup deleted with the offsets", func(t *testing.T, b []string) {
			deleteTopic(t, b, topics.Dedup)
			deleteGroups(t, b, "test-count")
		}, errFrames},
		{"kms.state deleted", func(t *testing.T, b []string) { deleteTopic(t, b, topics.State) }, kafka.ErrStateMissing},
		{"kms.state cut", func(t *testing.T, b []string) { cut(t, b, topics.State, 1) }, kafka.ErrStateMissing},
		{"kms.partials deleted", func(t *testing.T, b []string) { deleteTopic(t, b, topics.Partials) }, kafka.ErrCut},
		{"kms.events made anew", func(t *testing.T, b []string) { deleteTopic(t, b, topics.Events) }, kafka.ErrCut},
		{"kms.events made anew and longer", func(t *testing.T, b []string) { regrow(t, b, topics.Events) }, kafka.ErrCut},
		{"kms.partials made anew and longer", func(t *testing.T, b []string) { regrow(t, b, topics.Partials) }, kafka.ErrCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := broker(t)
			counted(t, b)
			c.damage(t, b)
			err := ends(t, closing(t, b), counting)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), "docs/operations.md") {
				t.Errorf("the stages end with %v; want %v", err, c.want)
			}
		})
	}
}

// A stage without state, and a sink, have only the group's offsets, which Kafka deletes
// with the topic: they start with the oldest record of a recreated one.
func TestOffsetsEndWithTheirTopic(t *testing.T) {
	b := broker(t)
	counted(t, b)
	raw := wire.DefaultTopics().Raw
	before := length(t, b, wire.DefaultTopics().DeadLetter)
	regrow(t, b, raw)
	p := pipeline(t, b)
	stop := start(t, p, counting)
	caughtUp(t, b, p)
	stop()
	n := 0
	readTopic(t, b, raw, p.Partitions[raw], func(*kgo.Record) error { n++; return nil })
	if dead := length(t, b, p.Topics.DeadLetter) - before; dead < n {
		t.Errorf("%d of %d records are read", dead, n)
	}
}

// Stage count continued while stage detect stood still, and its output expired: the next
// frame does not continue the last one.
func TestFramesThatExpiredAreNoticed(t *testing.T) {
	b := broker(t)
	records := counted(t, b)
	p := pipeline(t, b)
	stop := start(t, p, Stages{Normalize: true, Count: true})
	produce(t, b, p.Topics.Raw, later(records, time.Hour))
	waitFor(t, "everything is normalized", func() bool { return settled(t, b, p, "test-normalize", p.Topics.Raw) })
	waitFor(t, "everything is counted", func() bool { return settled(t, b, p, "test-count", p.Topics.Events) })
	stop()
	cut(t, b, p.Topics.Partials, 0)
	if err := ends(t, closing(t, b), counting); !errors.Is(err, errFrames) {
		t.Errorf("the stages end with %v", err)
	}
}

// later returns records as other, later calls.
func later(records [][]byte, d time.Duration) (list [][]byte) {
	for i, r := range records[:min(len(records), 200)] {
		at := time.Now().Add(d - 3*time.Hour).UTC().Format(time.RFC3339)
		_ = r
		list = append(list, fmt.Appendf(nil, `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/u","accountId":"111122223333"},"eventTime":%q,"eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","resources":[{"ARN":"arn:aws:kms:eu-central-1:111122223333:key/k"}],"eventID":"bbbbbbbb-0000-4000-8000-%012d","recipientAccountId":"111122223333"}`, at, i))
	}
	return list
}

// settled reports whether a group has committed everything in a topic.
func settled(t *testing.T, brokers []string, p *Pipeline, group, topic string) bool {
	t.Helper()
	offsets, err := admin(t, brokers).FetchOffsets(t.Context(), group)
	if err != nil {
		return false
	}
	done, n := true, 0
	readTopic(t, brokers, topic, p.Partitions[topic], func(r *kgo.Record) error {
		n++
		o, ok := offsets.Lookup(topic, r.Partition)
		done = done && ok && o.At > r.Offset
		return nil
	})
	return done && n > 0
}

// The offsets of all groups expire a week after the last process has stopped. The state
// has each stage's position, so earlier records, which come again, count once.
func TestLostOffsets(t *testing.T) {
	b := broker(t)
	records := counted(t, b)
	deleteGroups(t, b, "test-normalize", "test-count", "test-detect")
	p := pipeline(t, b)
	stop := start(t, p, counting) // normalize is stateless and reads everything again
	caughtUp(t, b, p)
	stop()
	start(t, closing(t, b), counting)
	eventually(t, b, expected(t, records, p.Window.Detect.Size))
}

// Records that expire unread are counted, logged, shown by the probe, and reported in the
// frames; the rest counts as usual.
func TestExpiredUnread(t *testing.T) {
	b := broker(t)
	records := counted(t, b)
	p := pipeline(t, b)
	more := later(records, 0)
	stop := start(t, p, Stages{Normalize: true})
	produce(t, b, p.Topics.Raw, more)
	waitFor(t, "all are normalized", func() bool { return settled(t, b, p, "test-normalize", p.Topics.Raw) })
	stop()
	cut(t, b, p.Topics.Events, 0)
	produce(t, b, p.Topics.Raw, more)
	cut(t, b, p.Topics.Raw, 0)

	p, log := pipeline(t, b), new(logBuffer)
	p.Log = slog.New(slog.NewTextHandler(log, nil))
	p.Kafka.Log = p.Log
	ask := served(t, p)
	stop = start(t, p, counting)
	for _, stage := range []string{"normalize", "count"} {
		waitFor(t, "stage "+stage+" says it", func() bool {
			code, text := ask("/readyz")
			return code == http.StatusServiceUnavailable && strings.Contains(text, "before stage "+stage+" had read them")
		})
		_, text := ask("/metrics")
		if strings.Contains(text, fmt.Sprintf("keytrail_stage_expired_total{stage=%q} 0\n", stage)) {
			t.Errorf("the metric of stage %s does not have it:\n%s", stage, text)
		}
	}
	caughtUp(t, b, p)
	stop()
	if n := len(log.lines("records expired before they were read")); n < 2 {
		t.Errorf("the log says it %d times", n)
	}
	lost := uint64(0)
	readTopic(t, b, p.Topics.Partials, p.Partitions[p.Topics.Partials], func(r *kgo.Record) error {
		f, err := wire.NewDecoder(r.Value).Frame()
		if r.Partition == 0 {
			lost += f.Lost
		}
		return err
	})
	if lost < uint64(len(more)) {
		t.Errorf("the frames tell of %d lost offsets, and there were %d records", lost, len(more))
	}
	start(t, closing(t, b), counting)
	eventually(t, b, expected(t, records, p.Window.Detect.Size))
}

// A stop leaves no frames of stage count behind: stage detect continues until it has read
// them.
func TestStopDrainsDetect(t *testing.T) {
	b := broker(t)
	p := pipeline(t, b)
	stop := start(t, p, counting)
	records := trail(t, generate.Config{Seed: 22, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 6000})
	for batch := range slices.Chunk(records, 500) {
		produce(t, b, p.Topics.Raw, batch)
	}
	waitForGroup(t, b, "test-count")
	stop() // in the middle of the trail
	if !settled(t, b, p, "test-detect", p.Topics.Partials) {
		t.Error("frames wait for the next start")
	}
}
