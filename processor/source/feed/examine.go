package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/lookup"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/aws/sqs"
)

// Trial is one thing that a source needs, such as the right to list its bucket.
type Trial struct {
	Detail string // what was tried, or what no trial shows
	Err    error  // why it does not work; nil if it does
	Open   bool   // no trial shows it without a change
}

// Advice says what to do about a Trial with an error.
func (t *Trial) Advice(kind string) string {
	if client.Forbidden(t.Err) || errors.Is(t.Err, os.ErrPermission) {
		if kind == File {
			return "give the process the right to read the file"
		}
		return fmt.Sprintf("give the principal the rights of deploy/aws/%s.json, and kms:Decrypt of the objects' KMS key",
			kind)
	}
	return "check the names in the source's settings, credentials and routes; docs/inputs.md lists the settings"
}

// Examine tries what the source needs in order to be read, as far as that changes nothing:
// no message is received and no checkpoint is opened. It sends at most a few requests.
func Examine(ctx context.Context, c Config) (list []Trial) {
	add := func(err error, format string, args ...any) {
		list = append(list, Trial{Detail: fmt.Sprintf(format, args...), Err: err})
	}
	open := func(format string, args ...any) {
		list = append(list, Trial{Detail: fmt.Sprintf(format, args...), Open: true})
	}
	if c.Checkpoint != "" {
		_, err := os.Stat(filepath.Dir(c.Checkpoint))
		add(err, "the folder of checkpoint %q exists", c.Checkpoint)
	}
	if c.Kind == File {
		add(readable(c.Path), "%q can be read", c.Path)
		return list
	}
	load, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	aws, err := client.Load(load, c.AWS)
	if err != nil {
		add(err, "AWS can be called")
		return list
	}
	objects := s3.NewClient(aws)
	bucket := func(name, prefix string) {
		page, err := objects.List(ctx, name, prefix, "", 1)
		if add(err, "bucket %q can be listed below %q", name, prefix); err != nil {
			return
		}
		if len(page.Objects) == 0 {
			open("bucket %q has no object below %q: the right to read is not tried", name, prefix)
			return
		}
		add(oneByte(func() (io.ReadCloser, error) { return objects.Open(ctx, page.Objects[0]) }),
			"object %q can be read", page.Objects[0].Name())
	}
	switch c.Kind {
	case S3:
		bucket(c.Bucket, c.Prefix)
	case SQS:
		queue := c.Queue
		queue.Now = time.Now
		q, err := sqs.New(aws, queue, objects, func(string, ...any) {})
		if err == nil {
			err = q.Examine(ctx)
		}
		add(err, "queue %q answers with its attributes", c.Queue.QueueURL)
		for _, name := range c.Queue.Buckets {
			bucket(name, "")
		}
		open("queue %q: the rights to receive and delete are not tried, as that would take messages", c.Queue.QueueURL)
	default:
		events, regions := lookup.NewClient(aws), c.Regions
		if len(regions) == 0 {
			regions = []string{events.Region()}
		}
		now := time.Now().Truncate(time.Second)
		for _, region := range regions {
			add(oneByte(func() (io.ReadCloser, error) {
				return events.Open(ctx, lookup.Query{Region: region, From: now.Add(-time.Second), To: now}), nil
			}), "events of Region %s can be looked up", region)
		}
	}
	return list
}

// oneByte opens and begins to read something, which may be empty.
func oneByte(open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err = r.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readable tries to open the first file or folder that path, which may be a pattern, names.
func readable(path string) error {
	names, err := filepath.Glob(path)
	if err == nil && len(names) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return err
	}
	f, err := os.Open(names[0])
	if err != nil {
		return err
	}
	return f.Close()
}
