// Package s3 is the sink that writes records to a bucket as compressed files of JSON lines,
// which Athena, Spark and others read as tables with the partitions dt and hour.
//
// Guarantees: each record is in exactly one object, however often processes die. The sink is
// a sink.Planned: the boundaries of a batch are stored with the group's offset before its
// first PUT, and a repetition writes the same objects. A batch is of one partition, and its
// objects are named by topic, partition, first and last offset:
//
//	PREFIX TOPIC/dt=2026-11-30/hour=08/ID-PARTITION-FIRST-LAST.ndjson.gz
//
// dt and hour are those of the records' own times in UTC, and ID is the begin of the topic's
// id, which tells clusters and topics of one name apart. A batch with records of several
// hours makes an object per hour. The same configuration and the same program make the same
// bytes.
//
// Limits: while a batch is being repeated, an object may be there of which the group's offset
// does not know yet. A changed filter between a crash and the repetition changes the first
// or last offset, and so the name, of at most in_flight batches.
//
// Source: S3 API Reference, PutObject.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/klauspost/compress/gzip"

	"keytrail/processor/sink"
	"keytrail/processor/sink/awssink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/otellog"
)

// Sink writes objects into one bucket. It implements sink.Planned and is safe for concurrent
// use.
type Sink struct {
	c   Config
	api *awss3.Client
}

// Planned marks the sink.
func (s *Sink) Planned() {}

// Close does nothing: the connections end by themselves.
func (s *Sink) Close() error { return nil }

// Deliver writes the objects of a batch, one after another, and stops at the first that
// fails. Records that have no body are left out and rejected: package sink keeps the batch as
// it is, and with it the names, until all objects are stored or given up.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	hours := make([]int64, len(batch))
	var bad []error
	var record otellog.Record
	for i := range batch {
		record.Reset()
		hours[i] = -1
		if err := record.Decode(batch[i].Value); err != nil {
			bad = append(bad, invalid(i, fmt.Errorf("cannot decode record %d of the batch: %w", i, err)))
			continue
		}
		hours[i] = hour(&record)
	}
	there := 0
	for _, h := range distinct(hours) {
		object, n, errs := s.object(batch, hours, h)
		bad = append(bad, errs...)
		if n == 0 {
			continue
		}
		known, err := s.put(ctx, s.key(batch, h), object)
		if err != nil {
			return errors.Join(append(bad, unstored(hours, h, err))...)
		}
		if known {
			there += n
		}
	}
	if there > 0 {
		bad = append(bad, &sink.Duplicate{Records: there})
	}
	return errors.Join(bad...)
}

// unstored returns a failure to store the object of an hour as one about the records of that
// hour and later ones. A pause is about the batch: it never gives up a record.
func unstored(hours []int64, h int64, err error) error {
	again := &sink.Throttled{Err: err}
	var throttled *sink.Throttled
	switch {
	case errors.As(err, new(*sink.Paused)):
		return err
	case errors.As(err, &throttled):
		again.After = throttled.After
	}
	for i := range hours {
		if hours[i] >= h {
			again.Records = append(again.Records, i)
		}
	}
	return again
}

func invalid(at int, err error) error {
	return &sink.Rejected{Records: []int{at}, Reason: sink.ReasonInvalid, Err: err}
}

// hour returns the hour of a record in hours since 1970: that of its own time.
func hour(r *otellog.Record) int64 {
	at := r.Time
	if at <= 0 {
		at = r.Observed
	}
	return max(at, 0) / int64(time.Hour)
}

// distinct returns the hours in order, without -1.
func distinct(hours []int64) []int64 {
	list := slices.Compact(slices.Sorted(slices.Values(hours)))
	if len(list) > 0 && list[0] < 0 {
		list = list[1:]
	}
	return list
}

// key returns the key of the object with the records of an hour of a batch.
func (s *Sink) key(batch []sink.Record, h int64) string {
	first, last := &batch[0], &batch[len(batch)-1]
	topic := first.Topic
	if topic == "" {
		topic = "test"
	}
	return fmt.Sprintf("%s%s/%s/%s-%05d-%020d-%020d.ndjson.gz", s.c.Prefix, topic,
		time.Unix(h*3600, 0).UTC().Format("dt=2006-01-02/hour=15"), hex.EncodeToString(first.TopicID[:4]), first.Partition,
		first.Offset, last.Offset)
}

// object returns the object with the records of an hour, and how many it has.
func (s *Sink) object(batch []sink.Record, hours []int64, h int64) (object []byte, n int, bad []error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out) // without a name and a time: the same records give the same bytes
	encoder := awssink.WriterOf(s.c.Body)()
	var record otellog.Record
	var line []byte
	for i := range batch {
		if hours[i] != h {
			continue
		}
		record.Reset()
		err := record.Decode(batch[i].Value)
		if err == nil {
			line, err = encoder.Append(line[:0], &record)
		}
		if err != nil {
			bad = append(bad, invalid(i, fmt.Errorf("cannot encode record %d of the batch: %w", i, err)))
			continue
		}
		_, _ = z.Write(append(line, '\n')) // a buffer takes everything
		n++
	}
	_ = z.Close()
	return out.Bytes(), n, bad
}

// put stores an object. It reports whether it was there already.
func (s *Sink) put(ctx context.Context, key string, object []byte) (known bool, err error) {
	in := s.c.input(key)
	sum := sha256.Sum256(object)
	in.Body, in.ContentLength = bytes.NewReader(object), aws.Int64(int64(len(object)))
	in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	out, err := s.api.PutObject(ctx, in)
	switch {
	case err == nil && aws.ToString(out.ETag) == "":
		return false, httpsink.NotProtocol("the answer to a PUT has no ETag")
	case err == nil:
		return false, nil
	case s.c.WriteOnce && awssink.Code(err) == "PreconditionFailed":
		return true, nil
	}
	err = awssink.Verdict(err)
	var refused *sink.Rejected
	if errors.As(err, &refused) { // an object is not halved, and its records are not at fault
		return false, &sink.Paused{Cause: sink.CauseProtocol, Err: refused.Err}
	}
	return false, err
}
