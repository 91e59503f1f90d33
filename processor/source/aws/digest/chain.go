package digest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/s3"
	"keytrail/schemas/aws/notification"
)

// previous checks that d continues the previous digest, and returns that.
func (c *check) previous(d *stored) (*Digest, error) {
	p := d.Previous
	if p == nil {
		return nil, nil
	}
	before, why, err := c.v.read(c.ctx, p.Bucket, p.Key)
	switch {
	case gone(err):
		c.found(DigestMissing, p.Bucket, p.Key, "the previous digest is missing: files delivered in its time cannot be "+
			"checked")
		return nil, c.missing(d)
	case err != nil:
		return nil, err
	case why != "":
		c.found(DigestChanged, p.Bucket, p.Key, why)
		return nil, nil
	case before.sum != p.Hash:
		c.found(DigestChanged, p.Bucket, p.Key, "the previous digest does not have the hash that the next one states")
		return nil, nil
	case before.signature != p.Signature:
		c.found(DigestChanged, p.Bucket, p.Key, "the previous digest does not have the signature that the next one states")
	}
	return before.Digest, nil
}

// maxMissing bounds the search for missing digests before a missing one, and maxBack its
// reach: the chain may have begun with the missing one.
const (
	maxMissing = 24
	maxBack    = 7 * 24 * time.Hour
)

// missing finds missing digests before the one that d continues, if that is missing, too.
// Nothing names them any more, but a trail writes one each hour, so their number follows
// from the time since the last existing one.
func (c *check) missing(d *stored) error {
	gap, period := notification.FileOf(d.Previous.Key).Stamp, d.End.Sub(d.Start)
	head, tail, ok := aroundStamp(d.Previous.Key)
	if c.file.Backfill || !ok || period < time.Minute {
		return nil
	}
	var last time.Time
	err := c.digests(d.Previous.Bucket, gap.Add(-maxBack), gap, func(r *s3.Ref, f *notification.File) error {
		if h, _, _ := aroundStamp(r.Key); base(h) == base(head) && !f.Backfill && f.Stamp.Before(gap) && f.Stamp.After(last) {
			last = f.Stamp
		}
		return nil
	})
	if err != nil || last.IsZero() {
		return err
	}
	n := int((gap.Sub(last)+period/2)/period) - 1
	for i := range min(n, maxMissing) {
		end := gap.Add(-time.Duration(i+1) * period).UTC()
		folder := strings.TrimSuffix(head, base(head))
		folder = folder[:len(folder)-len("2006/01/02/")] + end.Format("2006/01/02/")
		detail := fmt.Sprintf("the digest of the hour that ended at %s is missing, like the one that would name it: "+
			"it was deleted, or the trail wrote none between %s and %s", end.Format(time.RFC3339), last.UTC().Format(time.RFC3339), gap.UTC().Format(time.RFC3339))
		c.found(DigestMissing, d.Previous.Bucket, folder+base(head)+end.Format(stampForm)+tail, detail)
	}
	return nil
}

// stampForm is the time in a digest's name.
const stampForm = "20060102T150405Z"

// aroundStamp splits a digest's key around the time in its name, into the part with the
// trail's name and the rest.
func aroundStamp(key string) (head, tail string, ok bool) {
	tail = ".json.gz"
	head, ok = strings.CutSuffix(key, tail)
	if h, backfill := strings.CutSuffix(head, "_backfill"); backfill {
		head, tail = h, "_backfill"+tail
	}
	if !ok || len(head) < len(stampForm) {
		return "", "", false
	}
	head = head[:len(head)-len(stampForm)]
	return head, tail, len(head)-len(base(head)) >= len("2006/01/02/")
}

// base returns the part after the last slash.
func base(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// digests passes the digests in the folder of c's Region whose names have a time between
// from and to, inclusive, to see, in order of their keys.
func (c *check) digests(bucket string, from, to time.Time, see func(*s3.Ref, *notification.File) error) error {
	account, _, ok := strings.Cut(c.ref.Key, "/CloudTrail-Digest/"+c.file.Region+"/")
	if !ok {
		return nil
	}
	folder := account + "/CloudTrail-Digest/" + c.file.Region + "/"
	end := folder + to.UTC().AddDate(0, 0, 1).Format("2006/01/02/")
	for after := s3.StartKey(folder, from); ; {
		p, err := c.v.objects.List(c.ctx, bucket, folder, after, 1000)
		if err != nil {
			return err
		}
		for i := range p.Objects {
			r := &p.Objects[i]
			f, fault := notification.ParseKey(r.Key)
			if r.Key >= end {
				return nil
			}
			if fault != "" || f.Kind != notification.FileDigest || f.Stamp.Before(from) || f.Stamp.After(to) {
				continue
			}
			if err := see(r, &f); err != nil {
				return err
			}
		}
		if after = p.Last; !p.More {
			return nil
		}
	}
}

func gone(err error) bool {
	var r *source.Rejected
	return errors.As(err, &r) && r.Reason == source.ReasonGone
}
