package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
)

// awsFlags registers the flags of the commands that may call AWS.
func (a *app) awsFlags(f *flagSet) {
	f.StringVar(&a.aws.Region, "aws-region", "", "`region` of AWS; unset is that of the environment or the profile")
	f.StringVar(&a.aws.Profile, "aws-profile", "", "`profile` of AWS's shared configuration files")
	f.StringVar(&a.aws.RoleARN, "aws-role", "", "`ARN` of a role to assume")
	f.StringVar(&a.aws.Endpoint, "aws-endpoint", "", "`URL` of what is compatible with AWS; unset is AWS itself")
}

// awsConfig returns the configuration with which AWS is called.
func (a *app) awsConfig() (aws.Config, error) {
	for _, p := range a.aws.Problems() {
		return aws.Config{}, fmt.Errorf("cannot use %q as AWS's %s: want %s", p.Value, p.Field, p.Allowed)
	}
	return client.Load(a.ctx, a.aws)
}

// check reports the first path that can not be used: a file that does not exist, or
// no URL of S3.
func checkPaths(paths []string) error {
	for _, path := range paths {
		if strings.HasPrefix(path, s3.Scheme) {
			if _, _, err := s3.ParseURL(path); err != nil {
				return err
			}
			continue
		}
		if _, err := os.Stat(path); err != nil && path != source.Stdin {
			return fmt.Errorf("cannot read %q: %w", path, err)
		}
	}
	return nil
}

// found offers what paths name, in their order: files, and objects of S3. What can
// not be read inside a directory is an object that fails to open; a listing of S3 that
// fails is an error, because nobody knows what it lacks.
func (a *app) found(paths []string) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		var client *s3.Client // made once it is needed
		for _, path := range paths {
			if !strings.HasPrefix(path, s3.Scheme) {
				if !files(path, yield) {
					return
				}
				continue
			}
			bucket, prefix, err := s3.ParseURL(path)
			if err == nil && client == nil {
				var cfg aws.Config
				if cfg, err = a.awsConfig(); err == nil {
					client = s3.NewClient(cfg)
				}
			}
			if err != nil {
				yield(source.Object{}, err)
				return
			}
			n := 0
			for o, err := range client.Objects(a.ctx, bucket, prefix) {
				if n++; !yield(o, err) || err != nil {
					return
				}
			}
			if n == 0 {
				yield(source.Object{}, fmt.Errorf("there is nothing below %s", path))
				return
			}
		}
	}
}

// files offers what one path of the file system names. It reports whether to go on.
func files(path string, yield func(source.Object, error) bool) bool {
	for o, err := range source.Objects([]string{path}) {
		if err != nil { // something inside a directory: it costs only itself
			why := err
			o, err = source.Object{Name: path, Open: func() (io.ReadCloser, error) { return nil, why }}, nil
		}
		if !yield(o, err) {
			return false
		}
	}
	return true
}

// sinceUntil are the flags of a stretch of time, for what can be asked for one.
type sinceUntil struct{ since, until time.Time }

func (s *sinceUntil) register(f *flagSet, now time.Time, back time.Duration) {
	s.since, s.until = now.Add(-back), now
	parse := func(text string) (time.Time, bool) {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t, true
		}
		d, err := time.ParseDuration(text)
		return now.Add(-d), err == nil && d >= 0
	}
	want := "a time such as 2026-11-20T09:00:00Z, or how long ago such as 24h"
	f.Var(checked[time.Time]{&s.since, parse, want}, "since", "`time` of the first event, or how long ago")
	f.Var(checked[time.Time]{&s.until, parse, want}, "until", "`time` of the end, or how long ago")
}

// one returns an object as a sequence.
func one(ctx context.Context, name string, open func(context.Context) io.ReadCloser) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		yield(source.Object{Name: name, Size: -1, Open: func() (io.ReadCloser, error) { return open(ctx), nil }}, nil)
	}
}
