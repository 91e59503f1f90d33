package sqs

import (
	"fmt"
	"io"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source"
)

func TestPoisonGoesTheQueuesWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	deadURL, deadARN := b.queue("dead", nil)
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, deadARN)
	_, err := b.sqs.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: &b.url, Attributes: map[string]string{"RedrivePolicy": policy}})
	b.must(err)
	b.start()
	b.send(notify("bad", "1"))
	b.send(notify("good", "1"))
	got := b.poll(2)
	bad := got["s3://trail/"+logs("", "bad")+" 1"]
	b.src.Done(got["s3://trail/"+logs("", "good")+" 1"])
	tries := 0
	for ; b.src.Retry(bad, source.Denied(io.ErrUnexpectedEOF)); tries++ {
		b.pass(20 * time.Minute)
		b.src.Done(source.Object{}) // an unknown object changes nothing
		b.poll(1)
		b.must(b.src.Save(t.Context()))
	}
	if tries < 33 || tries > 36 {
		t.Errorf("given up after %d tries in 20 minutes each, want some twelve hours", tries)
	}
	b.src.Done(bad) // its dead letter is written
	b.must(b.src.Save(t.Context()))
	for deadline := time.Now().Add(patience); b.attribute(deadURL, types.QueueAttributeNameApproximateNumberOfMessages) != "1"; {
		if time.Now().After(deadline) {
			t.Fatal("the message never came to the queue's dead-letter queue")
		}
		b.src.cfg.MaxMessages = DefaultConfig().MaxMessages
		list, err := b.src.receive(t.Context(), 1, true)
		b.must(err)
		for i := range list {
			objects, m := b.src.accept(t.Context(), &list[i])
			if len(objects) > 0 {
				t.Fatalf("%v is offered again though it was given up", objects)
			}
			b.must(b.src.setVisibility(t.Context(), []grip{{m, m.receipt}}, 0))
		}
	}
	if st := b.src.counts(); !st.Redriven || st.Given != 1 {
		t.Errorf("the counts are %+v", st)
	}
	b.left(b.url, 0)
}

func TestPoisonWithoutRedrivePolicyIsDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start()
	b.send(notify("bad", "1"))
	bad := b.poll(1)["s3://trail/"+logs("", "bad")+" 1"]
	tries := 0
	for ; b.src.Retry(bad, source.Denied(io.ErrUnexpectedEOF)); tries++ {
		b.pass(time.Hour)
		b.poll(1)
		b.must(b.src.Save(t.Context()))
	}
	if tries < 82 || tries > 85 {
		t.Errorf("given up after %d hours, want some 84: the queue keeps messages for four days", tries)
	}
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 1) // its dead letter is not written yet
	b.src.Done(bad)
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 0)
	if st := b.src.counts(); st.Given != 1 || st.Held != 0 {
		t.Errorf("the counts are %+v", st)
	}
}

// counts returns the counts so far.
func (s *Source) counts() messageCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Held, st.Redriven = int64(len(s.messages)), s.redriven
	return st
}
