package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keytrail/processor/report"
	"keytrail/processor/source/aws/kmskeys"
	"keytrail/processor/usage"
	"keytrail/schemas/cloud"
)

// asking asks AWS about keys.
type asking struct {
	ctx    context.Context
	client *kmskeys.Client
	keys   int   // that AWS did not answer for
	first  error // of them
}

func (u *usaging) asking() (*asking, error) {
	cfg, err := u.in.AWSConfig()
	if err != nil {
		return nil, err
	}
	return &asking{ctx: u.ctx, client: kmskeys.New(cfg)}, nil
}

// key asks for a key. Errors stand in the answer.
func (a *asking) key(name string) *usage.AWS {
	_, _, region := cloud.Place(name)
	out := &usage.AWS{}
	d, err := a.client.Describe(a.ctx, name, region)
	if err == nil {
		out.State, out.Manager = d.State, d.Manager
		if d.CreationDate != nil {
			out.Created = &d.CreationDate.Time
		}
		if d.DeletionDate != nil {
			out.DeletionDate = &d.DeletionDate.Time
		}
		if d.ValidTo != nil {
			out.ValidTo = &d.ValidTo.Time
		}
	}
	last, missing := a.client.LastUsage(a.ctx, name, region)
	if missing == nil {
		takeLastUse(&last, out)
	}
	if err = errors.Join(err, missing); err != nil {
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			out.Errors = append(out.Errors, e.Error())
			if a.first == nil {
				a.first = e
			}
		}
		a.keys++
	}
	return out
}

// takeLastUse gives the answer of GetKeyLastUsage its reading: an empty one means that the key was
// never used only if KMS has kept records since its creation.
func takeLastUse(last *kmskeys.LastUsage, out *usage.AWS) {
	var start, created time.Time
	if last.TrackingStart != nil {
		start = last.TrackingStart.Time
		out.TrackingSince = &start
	}
	if last.Created != nil {
		created = last.Created.Time
	}
	switch u := &last.Used; {
	case u.Timestamp != nil:
		out.Reading, out.Operation, out.At, out.EventID, out.RequestID = usage.ReadUsed, u.Operation, &u.Timestamp.Time,
			u.EventID, u.RequestID
	case !created.IsZero() && !created.Before(start):
		out.Reading = usage.ReadNever
	default:
		out.Reading = usage.ReadUnknown
	}
}

// failed returns an error if AWS did not answer for some keys.
func (a *asking) failed() error {
	if a == nil || a.keys == 0 {
		return nil
	}
	return fmt.Errorf("AWS did not answer for %s; the first error: %w", report.Number(a.keys, "KMS key"), a.first)
}
