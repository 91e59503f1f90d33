package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/kafka"
	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/window"
	"keytrail/schemas/body"
	"keytrail/schemas/decoding"
)

// Validate checks every value and the rules between them. It returns
// setting.Problems, or nil.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Kafka.validate(&p)
	validateStages(&p, c.Stages)
	c.Decode.validate(&p)
	c.Window.validate(&p)
	c.Commit.validate(&p)
	p.Nest("detect", c.Detect.Validate())
	p.Nest("ledger", c.Ledger.Validate())
	for i, principal := range c.SelfPrincipals {
		key := fmt.Sprintf("self_principals[%d]", i)
		if principal == "" {
			p.Add(key, "is empty; want a principal such as arn:aws:iam::111122223333:role/trail-reader")
		} else if slices.Index(c.SelfPrincipals, principal) < i {
			p.Add(key, "%q is in the list twice", principal)
		}
	}
	for i, path := range c.Rules.Sigma {
		key := fmt.Sprintf("rules.sigma[%d]", i)
		if path == "" {
			p.Add(key, "is empty; want a directory of rules or a file, such as /etc/keytrail/rules")
		} else if first := slices.IndexFunc(
			c.Rules.Sigma, func(s string) bool { return s != "" && filepath.Clean(s) == filepath.Clean(path) }); first < i {
			p.Add(key, "%q is in the list twice", path)
		}
	}
	validateResource(&p, c.Resource)
	c.validateSources(&p)
	validateSinks(&p, c.Sinks)
	p.Nest("web", c.Web.Validate())
	p.Nest("telemetry", c.Telemetry.Validate())
	return p.Err()
}

// attributeForm is the form of an attribute's name in the semantic conventions, with at
// least two parts.
var attributeForm = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)+$`)

// Bounds of resource.
const (
	maxResource      = 32  // attributes
	maxResourceValue = 256 // bytes
)

// validateResource checks the attributes that all records get.
func validateResource(p *setting.Problems, resource map[string]string) {
	if len(resource) > maxResource {
		p.Add("resource", "has %d attributes; at most %d are allowed", len(resource), maxResource)
	}
	names := slices.Sorted(maps.Keys(resource))
	for _, name := range names {
		key, value := "resource."+name, resource[name]
		below := slices.IndexFunc(names, func(other string) bool { return strings.HasPrefix(other, name+".") })
		first, _, _ := strings.Cut(name, ".")
		taken := body.Taken(name)
		switch {
		case !attributeForm.MatchString(name):
			p.Add(key, "%q is not the name of an attribute; write one such as service.name", name)
		case first == "cloud" || first == "aws" || first == "keytrail":
			p.Add(key, "Keytrail itself writes attributes %s.*; choose another name", first)
		case taken != "":
			p.Add(key, "Keytrail itself writes %s; choose another name", taken)
		case below >= 0:
			p.Add(key, "is also the namespace of %s; keep one of the two", names[below])
		case value == "" || len(value) > maxResourceValue:
			p.Add(key, "has %d bytes; want 1 to %d", len(value), maxResourceValue)
		}
	}
}

// topicPrefix matches Kafka's rule for topic names (at most 249 characters, of which the
// prefix may have 200).
var topicPrefix = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

// identifier is stricter about client and transactional ids than Kafka, for the sake of
// monitoring tools.
var identifier = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func (k Kafka) validate(p *setting.Problems) {
	if len(k.Brokers) == 0 && !k.Embedded {
		p.Add("kafka.brokers", `is empty; want addresses such as "127.0.0.1:9092", or embedded: true`)
	}
	for i, b := range k.Brokers {
		key := fmt.Sprintf("kafka.brokers[%d]", i)
		if !isAddress(b) {
			p.Add(key, `%q is not a host:port address; write one such as "127.0.0.1:9092"`, b)
		} else if slices.Index(k.Brokers, b) < i {
			p.Add(key, "%q is in the list twice", b)
		}
	}
	if k.Embedded && len(k.Brokers) > 0 && !slices.Equal(k.Brokers, Default().Kafka.Brokers) {
		p.Add("kafka.embedded", "true cannot be combined with kafka.brokers; remove one of them")
	}
	if k.DataDir != "" && !k.Embedded {
		p.Add("kafka.data_dir", "%q is for the embedded broker, but kafka.embedded is false", k.DataDir)
	}
	match(p, "kafka.client_id", k.ClientID, identifier)
	match(p, "kafka.prefix", k.Prefix, topicPrefix)
	match(p, "kafka.transactional_id", k.TransactionalID, identifier)
	if k.InstanceID != "" {
		match(p, "kafka.instance_id", k.InstanceID, identifier)
	}
	// Kafka's bounds, group.min.session.timeout.ms and group.max.session.timeout.ms.
	setting.Between(p, "kafka.session_timeout", k.SessionTimeout, 6*time.Second, 30*time.Minute)
	// Kafka's replication factor has 16 bits; nobody has a hundred brokers.
	setting.Between(p, "kafka.replication", k.Replication, 0, 100)
	if k.Embedded && k.Replication > 1 {
		p.Add("kafka.replication", "%d is more than the one embedded broker can hold; allowed: 1", k.Replication)
	}
	// Each transaction of stage count writes a frame to every partition of partials: with
	// 256 partitions and 4 transactions a second, 1,024 frames a second per partition of
	// events.
	setting.Between(p, "kafka.partitions.events", k.Partitions.Events, 1, 1024)
	setting.Between(p, "kafka.partitions.partials", k.Partitions.Partials, 1, 256)
	security := k.Security()
	p.Nest("kafka", security.Validate())
	if k.Embedded && (k.TLS.Enabled || k.SASL.Mechanism != kafka.MechanismNone) {
		p.Add("kafka.embedded", "true cannot be combined with kafka.tls and kafka.sasl; remove them")
	}
}

func match(p *setting.Problems, key, text string, want *regexp.Regexp) {
	if !want.MatchString(text) {
		p.Add(key, "%q is not allowed; want 1 to 200 of the characters A-Z a-z 0-9 . _ -", text)
	}
}

// isAddress reports whether s is a host and a port from 1 to 65535.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func validateStages(p *setting.Problems, stages []Stage) {
	if len(stages) == 0 {
		p.Add("stages", "is empty; allowed: %v", Stages())
	}
	for i, s := range stages {
		key := fmt.Sprintf("stages[%d]", i)
		setting.OneOf(p, key, s, Stages()...)
		if slices.Index(stages, s) < i {
			p.Add(key, "%q is in the list twice", s)
		}
	}
}

func (d Decode) validate(p *setting.Problems) {
	low, high := &decoding.LeastLimits, &decoding.MostLimits
	size := func(key string, v setting.Size, low, high int64) {
		setting.Between(p, key, v, setting.Size(low), setting.Size(high))
	}
	size("decode.compressed_bytes", d.CompressedBytes, low.CompressedBytes, high.CompressedBytes)
	size("decode.inflated_bytes", d.InflatedBytes, low.InflatedBytes, high.InflatedBytes)
	size("decode.record_bytes", d.RecordBytes, int64(low.RecordBytes), int64(high.RecordBytes))
	size("decode.field_bytes", d.FieldBytes, int64(low.FieldBytes), int64(high.FieldBytes))
	setting.Between(p, "decode.ratio", d.Ratio, low.Ratio, high.Ratio)
	setting.Between(p, "decode.records", d.Records, low.Records, high.Records)
	setting.Between(p, "decode.depth", d.Depth, low.Depth, high.Depth)
	setting.Between(p, "decode.message_records", d.MessageRecords, 1, 10_000_000)
	setting.Between(p, "decode.message_bytes", d.MessageBytes, 2<<20, 16<<30)
	setting.OneOf(p, "decode.body", d.Body, BodyKeep, BodyNone)
	if d.RecordBytes > d.InflatedBytes {
		p.Add("decode.record_bytes", "%v is more than decode.inflated_bytes, %v", d.RecordBytes, d.InflatedBytes)
	}
	if d.FieldBytes > d.RecordBytes {
		p.Add("decode.field_bytes", "%v is more than decode.record_bytes, %v", d.FieldBytes, d.RecordBytes)
	}
}

// maxOpenWindows bounds the windows of one entity that can still change: 10,000. With 1
// KiB of counts per window that is 10 MiB for an entity active in all of them.
const maxOpenWindows = 10_000

func (w Window) validate(p *setting.Problems) {
	const day = 24 * time.Hour
	setting.Between(p, "window.size", w.Size, window.MinSize, window.MaxSize)
	if w.Size%window.MinSize != 0 {
		p.Add("window.size", "%v is not a whole number of minutes", w.Size)
	}
	last := w.Size
	for i, r := range w.Rollups {
		if why := window.BadRollup(i, r, last, w.Size); why != "" {
			p.Add(fmt.Sprintf("window.rollups[%d]", i), "%s", why)
		}
		last = r
	}
	setting.Between(p, "window.out_of_orderness", w.OutOfOrderness, 0, 7*day)
	setting.Between(p, "window.allowed_lateness", w.AllowedLateness, 0, 7*day)
	if w.AllowedLateness < w.Size {
		// An anomaly of a pair reaches its principal's window after that has closed.
		p.Add("window.allowed_lateness", "%v is shorter than window.size, %v", w.AllowedLateness, w.Size)
	}
	if w.Size > 0 && w.AllowedLateness > window.MaxLate*w.Size {
		p.Add("window.allowed_lateness", "%v is more than %d times window.size, %v", w.AllowedLateness,
			window.MaxLate, w.Size)
	}
	setting.Between(p, "window.future_skew", w.FutureSkew, 0, day)
	setting.Between(p, "window.idle_after", w.IdleAfter, time.Second, day)
	if open := w.OutOfOrderness + w.AllowedLateness; w.Size > 0 && open/w.Size > maxOpenWindows {
		p.Add("window.size", "%v is too short: with out_of_orderness and allowed_lateness of %v together, "+
			"%d windows of an entity are open at a time; allowed: %d", w.Size, open, open/w.Size, maxOpenWindows)
	}
}

func (c Commit) validate(p *setting.Problems) {
	// Below 10 s, so that a transaction ends well within Kafka's transaction timeout.
	setting.Between(p, "commit.interval", c.Interval, 10*time.Millisecond, 10*time.Second-1)
	setting.Between(p, "commit.records", c.Records, 1, 1_000_000)
}

// sinkName fits into the name of a consumer group and into a metric label.
var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// maxSinks bounds the consumer groups, each of which reads the topics once more.
const maxSinks = 32

func validateSinks(p *setting.Problems, sinks []Sink) {
	if len(sinks) > maxSinks {
		p.Add("sinks", "has %d sinks; allowed: %d", len(sinks), maxSinks)
	}
	names, ids, paths := map[string]int{}, map[string]int{}, map[string]int{}
	for i, s := range sinks {
		at := fmt.Sprintf("sinks[%d]", i)
		s.validate(p, at)
		if first, ok := names[s.Name]; ok {
			p.Add(at+".name", "%q is also the name of sinks[%d]", s.Name, first)
		} else {
			names[s.Name] = i
		}
		if first, ok := ids[s.Identifier()]; ok && sinks[first].Name != s.Name {
			p.Add(at+".id", "%q is the id of sinks[%d] as well; the two would share one consumer group",
				s.Identifier(), first)
		} else {
			ids[s.Identifier()] = i
		}
		if s.To == nil || s.To.Output() == "" {
			continue
		}
		path := s.To.Output()
		if path != sink.Stdout {
			path = filepath.Clean(path)
		}
		if first, ok := paths[path]; ok {
			p.Add(at+".path", "%q is also written by sinks[%d]", s.To.Output(), first)
		} else {
			paths[path] = i
		}
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, other := range slices.Sorted(maps.Keys(paths)) {
			if i, first := paths[path], paths[other]; strings.HasPrefix(path, other+".") {
				p.Add(fmt.Sprintf("sinks[%d].path", i), "%q begins like the names of the rotated files of sinks[%d], %q; "+
					"write it elsewhere", path, first, other)
			}
		}
	}
}

func (s Sink) validate(p *setting.Problems, at string) {
	if !sinkName.MatchString(s.Name) {
		p.Add(at+".name", "%q is not a name; write up to 63 of the characters a-z 0-9 _ -, "+
			"beginning with a letter or digit", s.Name)
	}
	if s.ID != "" && !sinkName.MatchString(s.ID) {
		p.Add(at+".id", "%q is not an id; write up to 63 of the characters a-z 0-9 _ -, "+
			"beginning with a letter or digit", s.ID)
	}
	setting.OneOf(p, at+".type", s.Type, all.Types()...)
	if kind, ok := all.Find(s.Type); ok && s.InFlight > 1 && kind.InFlight == 1 {
		p.Add(at+".in_flight", "%d is out of range; a sink of type %s delivers one batch at a time: write 1",
			s.InFlight, s.Type)
	} else if ok {
		setting.Between(p, at+".in_flight", s.InFlight, 1, kind.InFlight)
	}
	if reflect.TypeOf(s.To) != reflect.TypeOf(all.Default(s.Type)) {
		p.Add(at, "its type is %q, but its settings are of another type", s.Type)
	}
	if s.To != nil {
		p.Nest(at, s.To.Validate())
	}
	setting.OneOf(p, at+".take.windows", s.Take.Windows, WindowsNone, WindowsAnomalous, WindowsAll)
	if !s.Take.Events && !s.Take.Anomalies && !s.Take.Incidents && s.Take.Windows == WindowsNone {
		p.Add(at+".take", "takes no records; set events, windows, anomalies or incidents, or remove the sink")
	}
	if _, notifies := s.To.(sink.Notifier); notifies && (s.Take.Events || s.Take.Windows != WindowsNone) {
		p.Add(at+".take", "takes events or windows, but a sink of type %s takes anomalies and incidents only; remove "+
			"them from take, and send them to a sink of another type, such as %s", s.Type, all.Webhook)
	}
	p.Nest(at+".filter", s.Filter.Validate())
	p.Nest(at+".batch", s.Batch.Validate())
	p.Nest(at+".retry", s.Retry.Validate())
}
