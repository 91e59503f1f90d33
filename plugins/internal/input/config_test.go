package input

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/property"
)

func parse(values map[string]string) (Config, *property.Reader, error) {
	r := property.NewReader(func(name string) string { return values[name] })
	c, err := ParseConfig(r)
	return c, r, err
}

func TestParseConfigDefaults(t *testing.T) {
	dir := t.TempDir()
	cp := filepath.Join(dir, "cp.json")
	c, r, err := parse(map[string]string{"path": dir, "checkpoint": cp})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig(SourceFile)
	want.Path, want.Checkpoint, want.DeadLetter = dir, cp, cp+".deadletter.ndjson"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	for _, name := range r.Names() {
		if property.Reserved(name) {
			t.Errorf("Fluent Bit's core keeps the property %q for itself", name)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("checking left %v behind (%v)", left, err)
	}
}

func TestParseConfigValues(t *testing.T) {
	dir := t.TempDir()
	c, _, err := parse(map[string]string{
		"source": "FILE", "path": filepath.Join(dir, "*.json.gz"), "dead_letter": filepath.Join(dir, "dead"),
		"from_beginning": "off", "filter": "all", "poll_interval": "100ms", "settle": "0",
		"queue_records": "10", "queue_bytes": "2M", "batch_bytes": "64K",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Source: SourceFile, Readers: 1, Path: filepath.Join(dir, "*.json.gz"), DeadLetter: filepath.Join(dir, "dead"), All: true,
		PollInterval: 100 * time.Millisecond, QueueRecords: 10, QueueBytes: 2 << 20, BatchBytes: 64 << 10,
		AckWindow: 64 << 20, AckTimeout: 5 * time.Minute,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseConfigOfAcknowledgements(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	c, _, err := parse(map[string]string{"path": dir, "ack_path": path, "ack_window": "2M", "ack_by": "a, b", "ack_timeout": "1h", "unacknowledged": "done"})
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig(SourceFile)
	want.Path, want.AckPath, want.AckWindow, want.AckBy, want.AckTimeout, want.AcceptLoss = dir, path, 2<<20, []string{"a", "b"}, time.Hour, true
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	_, _, err = parse(map[string]string{"path": dir, "ack_path": path, "settle": "1m"})
	if err == nil || !strings.Contains(err.Error(), `property "settle" is set, and ack_path is, too`) {
		t.Errorf("settle beside ack_path: %v", err)
	}
}

func TestParseConfigRefusals(t *testing.T) {
	dir := t.TempDir()
	f := func(name, value, message string) {
		t.Helper()
		values := map[string]string{"path": dir, name: value}
		_, _, err := parse(values)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), message) {
			t.Errorf("%s=%q: got %v, want a refusal that names it and says %q", name, value, err, message)
		}
	}
	f("ack_path", "relative", "an absolute path")
	f("ack_path", "/"+strings.Repeat("x", 107), "at most 107 bytes")
	f("ack_by", "a", "has no effect without ack_path")
	f("unacknowledged", "lose", "retry or done")
	f("source", "kinesis", `want file or s3 or sqs or lookup`)
	f("s3_bucket", "trail", `is for source s3`)
	f("path", "", "is missing")
	f("path", filepath.Join(dir, "missing"), "no such file")
	f("path", filepath.Join(dir, "["), "pattern")
	f("filter", "some", "kms or all")
	f("from_beginning", "perhaps", "on or off")
	f("poll_interval", "1ms", "from 10ms")
	f("settle", "2h", "to 1h")
	f("queue_records", "0", "from 1")
	f("queue_bytes", "1K", "from 1M")
	f("batch_bytes", "1G", "to 64M")
	f("checkpoint", filepath.Join(dir, "no", "cp"), "no such file")
	f("dead_letter", filepath.Join(dir, "no", "dead"), "no such file")

	same := filepath.Join(dir, "x")
	if _, _, err := parse(map[string]string{"path": dir, "checkpoint": same, "dead_letter": same}); err == nil {
		t.Error("one file for checkpoint and dead letters was taken")
	}
}

func TestParseConfigOfAWS(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	f := func(from string, more map[string]string, want func(*Config) bool) {
		t.Helper()
		values := minimal(from)
		values["dead_letter"] = filepath.Join(dir, "dead")
		if from != SourceSQS {
			values["checkpoint"] = filepath.Join(dir, "cp")
		}
		for name, value := range more {
			values[name] = value
		}
		c, err := parseConfig(property.NewReader(func(name string) string { return values[name] }), now)
		if err != nil || !want(&c) {
			t.Errorf("%v gives %+v, %v", more, c, err)
		}
	}
	f(SourceS3, nil, func(c *Config) bool {
		return c.Start.Equal(now.Add(-24*time.Hour)) && c.Readers == 4 && c.PollInterval == time.Minute
	})
	f(SourceS3, map[string]string{"start_time": "Beginning"}, func(c *Config) bool { return c.Start.IsZero() })
	f(SourceS3, map[string]string{"start_time": "now"}, func(c *Config) bool { return c.Start.Equal(now) })
	f(SourceLookup, map[string]string{"start_time": "2026-11-01T01:00:00+01:00"}, func(c *Config) bool {
		return c.Start.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	})
	f(SourceS3, map[string]string{"accounts": "1, 2", "regions": "us-gov-west-1,cn-north-1", "s3_prefix": "/org"}, func(c *Config) bool {
		return reflect.DeepEqual(c.Accounts, []string{"1", "2"}) && reflect.DeepEqual(c.Regions, []string{"us-gov-west-1", "cn-north-1"}) && c.Prefix == "org"
	})
	f(SourceSQS, map[string]string{"sqs_visibility": "1m", "sqs_buckets": "abc def"}, func(c *Config) bool {
		return c.SQS.Visibility == time.Minute && reflect.DeepEqual(c.SQS.Buckets, []string{"abc", "def"}) && c.SQS.MaxMessages == 1000
	})
}

func TestParseConfigOfAWSRefusals(t *testing.T) {
	f := func(from, name, value, message string) {
		t.Helper()
		values := minimal(from)
		values[name] = value
		_, _, err := parse(values)
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), message) {
			t.Errorf("%s=%q: got %v, want a refusal that names it and says %q", name, value, err, message)
		}
	}
	f(SourceS3, "s3_bucket", "", "is missing")
	f(SourceS3, "s3_bucket", "s3://trail", "without s3://")
	f(SourceS3, "checkpoint", "", "is missing")
	f(SourceS3, "start_time", "yesterday", "how long ago")
	f(SourceS3, "accounts", "acme", "numbers of accounts")
	f(SourceS3, "regions", "Frankfurt", "names of regions")
	f(SourceS3, "sqs_queue_url", "https://x/y", "is for source sqs")
	f(SourceS3, "aws_region", "x y", "a region")
	f(SourceS3, "aws_role_arn", "keytrail", "the ARN of a role")
	f(SourceS3, "aws_external_id", "secret-text", `value "(set)"`)
	f(SourceSQS, "aws_endpoint", "http://user:secret-text@host", "without a user")
	f(SourceSQS, "dead_letter", "", "is missing")
	f(SourceSQS, "checkpoint", "/tmp/cp", "is for source file, s3, lookup")
	f(SourceSQS, "sqs_visibility", "1s", "from 10s")
	f(SourceLookup, "s3_bucket", "trail", "is for source s3")
	for _, from := range []string{SourceS3, SourceSQS} {
		values := minimal(from)
		values["aws_endpoint"] = "http://user:secret-text@host"
		if _, _, err := parse(values); err == nil || strings.Contains(err.Error(), "secret-text") {
			t.Errorf("the password of an endpoint is shown, or taken: %v", err)
		}
	}
}

// One file cannot be input, checkpoint and dead letters, whatever links lead to it.
func TestConfigOneFileForTwo(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	f := func(path, checkpoint, dead, want string) {
		t.Helper()
		_, _, err := parse(map[string]string{"path": path, "checkpoint": checkpoint, "dead_letter": dead})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("path %s, checkpoint %s, dead_letter %s: %v", path, checkpoint, dead, err)
		}
	}
	other := filepath.Join(dir, "other")
	f(link, other, real, "never read")
	f(real, link, other, "never read")
	f(dir, link, real, "another file than the checkpoint's")
	f(dir, other, filepath.Join(dir, ".", "x", "..", "other"), "another file than the checkpoint's")
}
