package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/kafka"
)

// call is one generated event, for loads with an exactly known shape.
type call struct {
	at             time.Time
	id             string // a UUID
	key, principal int
	deletes        bool // a ScheduleKeyDeletion, which is always an anomaly; else a Decrypt
}

// json returns the event in CloudTrail's form.
func (c call) json() []byte {
	const account, region = "111122223333", "eu-central-1"
	arn := fmt.Sprintf("arn:aws:kms:%s:%s:key/%08x-1111-4222-8333-444444444444", region, account, c.key)
	role := fmt.Sprintf("service-%d", c.principal)
	name, readOnly, response := "Decrypt", true, "null"
	request := `{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::invoices"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}`
	if c.deletes {
		name, readOnly = "ScheduleKeyDeletion", false
		request, response = fmt.Sprintf(`{"keyId":%q,"pendingWindowInDays":7}`, arn),
			fmt.Sprintf(`{"keyId":%q,"keyState":"PendingDeletion","pendingWindowInDays":7}`, arn)
	}
	at := c.at.UTC().Format(time.RFC3339)
	return fmt.Appendf(
		nil, `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE%08d:%[2]s",`+
			`"arn":"arn:aws:sts::%[3]s:assumed-role/%[4]s/%[2]s","accountId":"%[3]s","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":`+
			`{"type":"Role","principalId":"AROAEXAMPLE%08[1]d","arn":"arn:aws:iam::%[3]s:role/%[4]s","accountId":"%[3]s","userName":"%[4]s"},`+
			`"attributes":{"creationDate":"%[5]s","mfaAuthenticated":"false"}}},"eventTime":"%[5]s","eventSource":"kms.amazonaws.com","eventName":"%[6]s",`+
			`"awsRegion":"%[7]s","sourceIPAddress":"203.0.113.7","userAgent":"aws-sdk-go-v2/1.41.0","requestParameters":%[8]s,"responseElements":%[9]s,`+
			`"requestID":"%[10]s","eventID":"%[10]s","readOnly":%[11]t,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"%[3]s",`+
			`"eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"kms.%[7]s.amazonaws.com"},`+
			`"resources":[{"accountId":"%[3]s","type":"AWS::KMS::Key","ARN":"%[12]s"}]}`,
		c.principal, "session", account, role, at, name, region, request, response, c.id, readOnly, arn)
}

// uuid returns the n-th id of a series.
func uuid(series, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", series, n) }

// Series of ids.
const (
	closingIDs = iota + 1
	entityIDs
	latencyIDs
	warmUpIDs
)

// trail puts a generated trail into the events topic: every record that CloudTrail would
// deliver, including duplicates, in order of delivery. It returns the trail's end.
func trail(ctx context.Context, l *loader, o options) (end time.Time, err error) {
	// One hour of event time per million events, the generator's bound. Within one hour
	// no event can be late for Kafka Streams, however far its tasks are apart: its clock
	// is the largest time that a task has seen.
	hours := time.Duration(o.events/1_000_000 + 1)
	start := time.Now().Add(-(hours + 5) * time.Hour).Truncate(time.Hour)
	g, err := generate.New(generate.Config{
		Seed: o.seed, Start: start, Duration: hours * time.Hour, Keys: o.keys, Principals: o.principals,
		Events: min(o.events, int(hours)*1_000_000), Scenarios: []string{},
	})
	if err != nil {
		return end, err
	}
	waiting := map[time.Time][][]byte{} // by delivery
	deliver := func(until time.Time) error {
		var due []time.Time
		for at := range waiting {
			if !at.After(until) {
				due = append(due, at)
			}
		}
		slices.SortFunc(due, time.Time.Compare)
		for _, at := range due {
			for _, json := range waiting[at] {
				if err := l.add(ctx, json); err != nil {
					return err
				}
			}
			delete(waiting, at)
		}
		return nil
	}
	for e := range g.Events() {
		if err := deliver(e.Time); err != nil {
			return end, err
		}
		waiting[e.Delivered] = append(waiting[e.Delivered], e.JSON)
	}
	end = start.Add(hours * time.Hour)
	if err := deliver(end.Add(24 * time.Hour)); err != nil {
		return end, err
	}
	return end, l.flush(ctx)
}

// closeWindows closes all windows that end before a time: it sends a later event into
// each partition, as a continuing trail would.
func closeWindows(ctx context.Context, l *loader, before time.Time) error {
	left := map[int32]bool{}
	for p := range int32(eventPartitions) {
		left[p] = true
	}
	for i := 0; len(left) > 0; i++ {
		id := uuid(closingIDs, i)
		p := kafka.KeyPartition([]byte(id), eventPartitions)
		if !left[p] {
			continue
		}
		delete(left, p)
		if err := l.add(ctx, call{at: before.Add(2 * time.Hour), id: id}.json()); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

// entities puts events into the topic that make n entities: a fifth KMS keys, three
// tenths principals, and half pairs, each of which calls once in two windows half an hour
// apart. It returns the number of events.
func entities(ctx context.Context, l *loader, n int) (int, error) {
	start := time.Now().Add(-3 * time.Hour).Truncate(5 * time.Minute)
	keys, principals, pairs := n/5, n*3/10, n/2
	id := 0
	for _, window := range []time.Time{start, start.Add(30 * time.Minute)} {
		for i := range pairs {
			// The two remainders give a pair for every i below the least common multiple
			// of the moduli, three fifths of n.
			c := call{at: window.Add(5 * time.Minute * time.Duration(i) / time.Duration(pairs)), id: uuid(entityIDs, id),
				key: i % keys, principal: i % principals}
			if err := l.add(ctx, c.json()); err != nil {
				return id, err
			}
			id++
		}
	}
	return id, l.flush(ctx)
}
