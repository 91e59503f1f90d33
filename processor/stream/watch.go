package stream

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/status"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Installation reads what the processes of the installation have published by now.
func (p *Pipeline) Installation(ctx context.Context) (status.Installation, error) {
	now := time.Now()
	table := status.NewTable(now)
	_, err := kafka.Look{Topic: p.Topics.Status, Most: math.MaxInt64}.Each(ctx, p.Kafka, func(r *kgo.Record) error {
		table.Put(string(r.Key), r.Value, now) // a record of another version is left out
		return nil
	})
	return table.Installation(time.Now()), err
}

// InTrouble is an entity with an open anomaly.
type InTrouble struct {
	Entity   string // ARN of the KMS key, or the principal without one
	Severity string
	Detector string
	Last     time.Time // of the newest open anomaly
	Open     int       // anomalies
}

// Troubled returns at most n entities with anomalies that were published since a time and are
// open, the newest first.
func (p *Pipeline) Troubled(ctx context.Context, since time.Time, n int) ([]InTrouble, error) {
	type known struct {
		revision int64
		entity   string
		InTrouble
		open bool
	}
	of := map[string]known{}
	look := kafka.Look{Topic: p.Topics.Anomalies, Since: since, Most: mostLooked, Newest: true}
	_, err := look.Each(ctx, p.Kafka, func(r *kgo.Record) error {
		var rec otellog.Record
		if rec.Decode(r.Value) != nil {
			return nil // not of Keytrail
		}
		revision := int64(0)
		if a := rec.Get(semconv.KeytrailAnomalyRevision); a != nil {
			revision = a.Int
		}
		id := rec.Str(semconv.KeytrailAnomalyID)
		if was, ok := of[id]; ok && was.revision > revision {
			return nil
		}
		entity := cmp.Or(rec.Str(semconv.AWSKMSKeyARN), rec.Str(semconv.KeytrailPrincipalID), "-")
		one := InTrouble{Entity: strings.Clone(entity),
			Severity: strings.Clone(rec.Str(semconv.KeytrailAnomalySeverity)),
			Detector: strings.Clone(rec.Str(semconv.KeytrailAnomalyDetector)), Last: time.Unix(0, rec.Time).UTC()}
		of[strings.Clone(id)] = known{revision, one.Entity, one, rec.Str(semconv.KeytrailAnomalyState) == "open"}
		return nil
	})
	all := map[string]*InTrouble{}
	for _, k := range of {
		if !k.open {
			continue
		}
		one := all[k.entity]
		if one == nil || k.Last.After(one.Last) {
			open := 0
			if one != nil {
				open = one.Open
			}
			one = &InTrouble{k.entity, k.Severity, k.Detector, k.Last, open}
			all[k.entity] = one
		}
		one.Open++
	}
	var list []InTrouble
	for _, one := range all {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b InTrouble) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Entity, b.Entity))
	})
	return list[:min(n, len(list))], err
}

// mostLooked bounds the anomalies that Troubled reads: about 30 MB.
const mostLooked = 10_000
