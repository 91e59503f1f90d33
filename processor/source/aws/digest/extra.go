package digest

import (
	"strings"
	"time"

	"keytrail/processor/source/aws/s3"
	"keytrail/schemas/aws/notification"
)

// extra finds log files of the time of before that no digest names. A file of its first
// or last minutes may be in the adjacent digest, a late one in a backfill digest, and one
// of another trail in the same folder in that trail's digests.
func (c *check) extra(before *Digest, d *stored) error {
	folder := "/" + c.file.Region + "/"
	account, _, ok := strings.Cut(c.ref.Key, "/CloudTrail-Digest"+folder)
	if !ok { // not at CloudTrail's place, so its logs are not either
		return nil
	}
	logs := account + "/CloudTrail" + folder
	end := before.End.Truncate(time.Minute)
	var more []*Digest
	looked := false
	for after := s3.StartKey(logs, before.Start); ; {
		p, err := c.v.objects.List(c.ctx, c.ref.Bucket, logs, after, 1000)
		if err != nil {
			return err
		}
		for _, r := range p.Objects {
			if r.Key >= s3.StartKey(logs, end) {
				return nil
			}
			f, fault := notification.ParseKey(r.Key)
			if fault == notification.KeyForeign || f.Stamp.Before(before.Start) || !f.Stamp.Before(end) {
				continue // nobody mistakes it for a log file of this time
			}
			if before.Names(r.Bucket, r.Key) || d.Names(r.Bucket, r.Key) {
				continue
			}
			if !looked {
				if more, err = c.others(before); err != nil {
					return err
				}
				looked = true
			}
			if !named(more, &r) {
				c.found(LogFileExtra, r.Bucket, r.Key, "it is among the logs of its time, but no digest names it")
			}
		}
		if after = p.Last; !p.More {
			return nil
		}
	}
}

func named(list []*Digest, r *s3.Ref) bool {
	for _, d := range list {
		if d.Names(r.Bucket, r.Key) {
			return true
		}
	}
	return false
}

const (
	// backfillLate is the longest time by which a backfill digest may end after its hour.
	backfillLate = 48 * time.Hour
	// maxOthers bounds the additional digests: two trails and two days of backfill
	// digests have some hundred.
	maxOthers = 200
)

// others returns the digests besides before and the next one that may name a log file of
// before's time: the one before it, backfill digests, and other trails' digests in the
// same folder. A digest with a wrong signature vouches for nothing.
func (c *check) others(before *Digest) (list []*Digest, err error) {
	if p := before.Previous; p != nil {
		earlier, _, err := c.v.read(c.ctx, p.Bucket, p.Key)
		if err != nil && !gone(err) {
			return nil, err
		}
		if earlier != nil {
			list = append(list, earlier.Digest)
		}
	}
	own, _, _ := aroundStamp(c.ref.Key)
	read := 0
	err = c.digests(c.ref.Bucket, before.Start, before.End.Add(backfillLate), func(r *s3.Ref, f *notification.File) error {
		trail, _, _ := aroundStamp(r.Key)
		if !f.Backfill && (base(trail) == base(own) || f.Stamp.After(before.End.Add(2*time.Hour))) || read >= maxOthers {
			return nil
		}
		read++
		d, why, err := c.v.read(c.ctx, r.Bucket, r.Key)
		if err == nil && why == "" {
			why, err = c.v.verify(c.ctx, d, r.Bucket, r.Key)
		}
		switch {
		case err != nil && !gone(err):
			return err
		case err == nil && why == "":
			list = append(list, d.Digest)
		}
		return nil
	})
	return list, err
}
