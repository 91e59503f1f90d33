package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/source/aws/client"
	history "keytrail/processor/source/aws/lookup"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/aws/sqs"
	"keytrail/processor/source/feed"
)

// SourceType is the type of a source: a constant of package feed.
type SourceType string

// SourceTypes returns all types of sources.
func SourceTypes() []SourceType { return []SourceType{feed.File, feed.S3, feed.SQS, feed.Lookup} }

// Source is one source of objects that stage collect reads. In the file, the keys of From
// are among its own. Its keys have the names of the properties of the plugin in_kms.
type Source struct {
	// Name identifies the source in logs and metrics.
	Name string     `yaml:"name"`
	Type SourceType `yaml:"type"`
	From SourceFrom `yaml:",inline"` // of Type
	// PollInterval is the time between two looks for new objects.
	PollInterval time.Duration `yaml:"poll_interval"`
	// Readers is how many objects are read side by side.
	Readers int `yaml:"readers"`
}

// SourceFrom are the settings of one type of source.
type SourceFrom interface {
	validate(p *setting.Problems, at string)
	// feed sets the fields of c that belong to the type.
	feed(c *feed.Config, now time.Time)
	// checkpoint returns the path of the checkpoint, or nil for a queue.
	checkpoint() *string
}

// FileSource reads a directory, a file or a pattern.
type FileSource struct {
	Path          string `yaml:"path"`
	FromBeginning bool   `yaml:"from_beginning"`
	// Checkpoint is the file that records the finished objects; "" means StateDir/NAME.checkpoint.
	Checkpoint string `yaml:"checkpoint"`
}

// S3Source lists a trail's bucket.
type S3Source struct {
	Bucket        string        `yaml:"s3_bucket"`
	Prefix        string        `yaml:"s3_prefix"`
	Overlap       time.Duration `yaml:"s3_overlap"`
	Discover      time.Duration `yaml:"s3_discover"`
	VerifyDigests bool          `yaml:"verify_digests"`
	StartTime     string        `yaml:"start_time"`
	Accounts      []string      `yaml:"accounts"`
	Regions       []string      `yaml:"regions"`
	AWS           `yaml:",inline"`
	Checkpoint    string `yaml:"checkpoint"` // as FileSource's
}

// SQSSource receives the notifications of a trail's bucket from a queue.
type SQSSource struct {
	QueueURL    string        `yaml:"sqs_queue_url"`
	Buckets     []string      `yaml:"sqs_buckets"`
	Visibility  time.Duration `yaml:"sqs_visibility"`
	MaxMessages int           `yaml:"sqs_max_messages"`
	AWS         `yaml:",inline"`
}

// LookupSource looks events up in CloudTrail's event history.
type LookupSource struct {
	Delay      time.Duration `yaml:"lookup_delay"`
	Events     string        `yaml:"lookup_events"` // kms or all
	StartTime  string        `yaml:"start_time"`
	Regions    []string      `yaml:"regions"`
	AWS        `yaml:",inline"`
	Checkpoint string `yaml:"checkpoint"` // as FileSource's
}

// AWS says how AWS is called. Credentials come from the SDK's own chain.
type AWS struct {
	Region     string `yaml:"aws_region"`
	Profile    string `yaml:"aws_profile"`
	Endpoint   string `yaml:"aws_endpoint"`
	RoleARN    string `yaml:"aws_role_arn"`
	ExternalID string `yaml:"aws_external_id"`
}

func (a AWS) client() client.Config {
	return client.Config{Region: a.Region, Profile: a.Profile, Endpoint: a.Endpoint, RoleARN: a.RoleARN,
		ExternalID: a.ExternalID}
}

// StateDir is the folder of checkpoints whose path is not set.
const StateDir = "/var/lib/keytrail"

// NewSource returns a Source of type t with its defaults, or false for an unknown type. Its
// Name and the settings without a default are empty.
func NewSource(t SourceType) (Source, bool) {
	s := Source{Type: t, PollInterval: feed.DefaultPoll(string(t)), Readers: feed.DefaultReaders(string(t))}
	switch t {
	case feed.File:
		s.From = &FileSource{FromBeginning: true}
	case feed.S3:
		s.From = &S3Source{Overlap: s3.DefaultOverlap, Discover: s3.DefaultDiscover, StartTime: feed.DefaultStart,
			Accounts: []string{}, Regions: []string{}}
	case feed.SQS:
		queue := sqs.DefaultConfig()
		s.From = &SQSSource{Buckets: []string{}, Visibility: queue.Visibility, MaxMessages: queue.MaxMessages}
	case feed.Lookup:
		s.From = &LookupSource{Delay: history.DefaultDelay, Events: "kms", StartTime: feed.DefaultStart, Regions: []string{}}
	default:
		return s, false
	}
	return s, true
}

// CheckpointPath returns the path of the source's checkpoint, "" for a queue, whose messages
// record what is done.
func (s *Source) CheckpointPath() string {
	switch path := s.From.checkpoint(); {
	case path == nil:
		return ""
	case *path == "":
		return filepath.Join(StateDir, s.Name+".checkpoint")
	default:
		return *path
	}
}

// Feed returns the source as package feed opens it. exclude are files that are never read;
// now is the time from which a start time counts back.
func (s *Source) Feed(exclude []string, now time.Time) feed.Config {
	c := feed.Config{Kind: string(s.Type), Exclude: exclude, Checkpoint: s.CheckpointPath(), PollInterval: s.PollInterval}
	s.From.feed(&c, now)
	return c
}

// maxSources bounds the sources of a process, each of which holds 32 MiB of records.
const maxSources = 16

func (c *Config) validateSources(p *setting.Problems) {
	if len(c.Sources) > maxSources {
		p.Add("sources", "has %d sources; allowed: %d", len(c.Sources), maxSources)
	}
	if c.Kafka.Embedded && len(c.Sources) > 0 {
		p.Add("sources", "need a Kafka that stays, because a source does not offer again what Kafka has had; "+
			"remove kafka.embedded and set kafka.brokers")
	}
	names, paths := map[string]string{}, map[string]string{}
	for i, s := range c.Sinks {
		if s.To != nil && s.To.Output() != "" {
			paths[filepath.Clean(s.To.Output())] = fmt.Sprintf("the output of sinks[%d]", i)
		}
	}
	for i := range c.Sources {
		s, at := &c.Sources[i], fmt.Sprintf("sources[%d]", i)
		s.validate(p, at)
		if first, ok := names[s.Name]; ok {
			p.Add(at+".name", "%q is also the name of %s", s.Name, first)
		}
		names[s.Name] = at
		if s.From == nil || s.From.checkpoint() == nil {
			continue
		}
		path := filepath.Clean(s.CheckpointPath())
		if first, ok := paths[path]; ok {
			p.Add(at+".checkpoint", "%q is also %s; give each its own file", path, first)
		}
		paths[path] = "the checkpoint of " + at
	}
}

func (s *Source) validate(p *setting.Problems, at string) {
	if !sinkName.MatchString(s.Name) {
		p.Add(at+".name", "%q is not a name; write up to 63 of the characters a-z 0-9 _ -, "+
			"beginning with a letter or digit", s.Name)
	}
	setting.OneOf(p, at+".type", s.Type, SourceTypes()...)
	setting.Between(p, at+".poll_interval", s.PollInterval, feed.LeastPoll, feed.MostPoll)
	setting.Between(p, at+".readers", s.Readers, 1, feed.MostReaders)
	if s.From == nil {
		return
	}
	s.From.validate(p, at)
	if path := s.From.checkpoint(); path != nil && *path != "" && !filepath.IsAbs(*path) {
		p.Add(at+".checkpoint", "%q is not an absolute path; write one such as %s/trail.checkpoint", *path, StateDir)
	}
}

func (f *FileSource) validate(p *setting.Problems, at string) {
	_, err := filepath.Match(f.Path, "")
	switch {
	case !filepath.IsAbs(f.Path):
		p.Add(at+".path", "%q is not an absolute path; write a directory, a file or a pattern such as "+
			"/var/trail/*.json.gz", f.Path)
	case err != nil:
		p.Add(at+".path", "%q is not a pattern: %v", f.Path, err)
	case filepath.Clean(f.Path) == filepath.Clean(f.Checkpoint):
		p.Add(at+".path", "%q is the checkpoint, which is never read", f.Path)
	}
}

func (f *FileSource) feed(c *feed.Config, _ time.Time) {
	c.Path, c.FromBeginning = f.Path, f.FromBeginning
}
func (f *FileSource) checkpoint() *string { return &f.Checkpoint }

func (s *S3Source) validate(p *setting.Problems, at string) {
	checkBucket(p, at+".s3_bucket", s.Bucket)
	setting.Between(p, at+".s3_overlap", s.Overlap, feed.LeastOverlap, feed.MostOverlap)
	setting.Between(p, at+".s3_discover", s.Discover, feed.LeastDiscover, feed.MostDiscover)
	checkStart(p, at, s.StartTime)
	for i, a := range s.Accounts {
		if !accountNumber.MatchString(a) {
			p.Add(fmt.Sprintf("%s.accounts[%d]", at, i), "%q is not the number of an account; write one such as "+
				`"111122223333", in quotes`, a)
		}
	}
	checkRegions(p, at, s.Regions)
	s.AWS.validate(p, at)
}

func (s *S3Source) feed(c *feed.Config, now time.Time) {
	c.Start, _ = feed.ParseStart(s.StartTime, now)
	c.Bucket, c.Prefix, c.Overlap, c.Discover = s.Bucket, strings.TrimPrefix(s.Prefix, "/"), s.Overlap, s.Discover
	c.VerifyDigests, c.Accounts, c.Regions, c.AWS = s.VerifyDigests, s.Accounts, s.Regions, s.client()
}

func (s *S3Source) checkpoint() *string { return &s.Checkpoint }

func (s *SQSSource) validate(p *setting.Problems, at string) {
	if !strings.Contains(s.QueueURL, "://") {
		p.Add(at+".sqs_queue_url", "%q is not the URL of a queue; write it as SQS shows it, with https://", s.QueueURL)
	}
	for i, b := range s.Buckets {
		checkBucket(p, fmt.Sprintf("%s.sqs_buckets[%d]", at, i), b)
	}
	setting.Between(p, at+".sqs_visibility", s.Visibility, feed.LeastVisibility, feed.MostVisibility)
	setting.Between(p, at+".sqs_max_messages", s.MaxMessages, 1, feed.MostMessages)
	s.AWS.validate(p, at)
}

func (s *SQSSource) feed(c *feed.Config, _ time.Time) {
	c.Queue = sqs.Config{QueueURL: s.QueueURL, Buckets: s.Buckets, Visibility: s.Visibility, MaxMessages: s.MaxMessages}
	c.AWS = s.client()
}

func (s *SQSSource) checkpoint() *string { return nil }

func (s *LookupSource) validate(p *setting.Problems, at string) {
	setting.Between(p, at+".lookup_delay", s.Delay, feed.LeastDelay, feed.MostDelay)
	setting.OneOf(p, at+".lookup_events", s.Events, "kms", "all")
	checkStart(p, at, s.StartTime)
	checkRegions(p, at, s.Regions)
	s.AWS.validate(p, at)
}

func (s *LookupSource) feed(c *feed.Config, now time.Time) {
	c.Start, _ = feed.ParseStart(s.StartTime, now)
	c.Delay, c.All, c.Regions, c.AWS = s.Delay, s.Events == "all", s.Regions, s.client()
}

func (s *LookupSource) checkpoint() *string { return &s.Checkpoint }

func (a AWS) validate(p *setting.Problems, at string) {
	c := a.client()
	for _, one := range c.Problems() {
		p.Add(at+".aws_"+one.Field, "%q is not allowed; want %s", one.Value, one.Allowed)
	}
}

var accountNumber = regexp.MustCompile(`^[0-9]{12}$`)

func checkBucket(p *setting.Problems, key, name string) {
	if !s3.ValidBucket(name) {
		p.Add(key, "%q is not the name of a bucket; write it without s3:// and without a path", name)
	}
}

func checkStart(p *setting.Problems, at, text string) {
	if _, ok := feed.ParseStart(text, time.Time{}); !ok {
		p.Add(at+".start_time", "%q is not allowed; want %s", text, feed.StartAllowed)
	}
}

func checkRegions(p *setting.Problems, at string, list []string) {
	for i, name := range list {
		key := fmt.Sprintf("%s.regions[%d]", at, i)
		if !client.ValidRegion(name) {
			p.Add(key, "%q is not the name of a region; write one such as eu-central-1", name)
		} else if slices.Index(list, name) < i {
			p.Add(key, "%q is in the list twice", name)
		}
	}
}
