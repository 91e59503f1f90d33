// Package filter chooses the log records that a sink gets, by the values of their fields.
package filter

import (
	"slices"
	"strings"

	"keytrail/processor/setting"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Config is a list of patterns per field. A record passes if every list that is not empty
// admits it. A list admits a record if one of its patterns matches a value that the record
// has in the field, and no pattern that begins with "!" matches one. A list that has only
// patterns with "!" admits all others. So a record that lacks the field passes only a list
// of the latter kind.
//
// A pattern is compared with the whole value. "*" stands for any characters.
type Config struct {
	// EventNames are compared with the record's event name, such as "keytrail.anomaly".
	EventNames []string `yaml:"event_names"`
	// Operations are compared with the API operation of a call, such as "Decrypt", alone
	// and qualified with its service.
	Operations []string `yaml:"operations"`
	// Kinds are compared with that of an anomaly, and Severities with that of an anomaly or an
	// incident.
	Kinds      []string `yaml:"kinds"`
	Severities []string `yaml:"severities"`
	// Scopes are compared with the scope of a window or an anomaly: key, principal, pair.
	Scopes []string `yaml:"scopes"`
	// Keys are compared with the ARNs of the KMS key and of its alias.
	Keys       []string `yaml:"keys"`
	Principals []string `yaml:"principals"`
	// Accounts are compared with the account whose trail has the record, the key's owner
	// and the caller's.
	Accounts []string `yaml:"accounts"`
	Regions  []string `yaml:"regions"`
}

// Default returns a Config that admits every record.
func Default() Config {
	none := []string{}
	return Config{EventNames: none, Operations: none, Kinds: none, Severities: none, Scopes: none, Keys: none,
		Principals: none, Accounts: none, Regions: none}
}

// The bounds of one list.
const (
	maxPatterns = 1000
	maxLength   = 2048
)

// lists returns the lists of c under the names of their settings.
func (c *Config) lists() []list {
	return []list{
		{setting: "event_names", patterns: c.EventNames},
		{setting: "operations", patterns: c.Operations, fields: []string{semconv.RPCMethod}},
		{setting: "kinds", patterns: c.Kinds, fields: []string{semconv.KeytrailAnomalyKind}},
		{setting: "severities", patterns: c.Severities, fields: []string{semconv.KeytrailAnomalySeverity,
			semconv.KeytrailIncidentSeverity}},
		{setting: "scopes", patterns: c.Scopes, fields: []string{semconv.KeytrailWindowScope}},
		{setting: "keys", patterns: c.Keys, fields: []string{semconv.AWSKMSKeyARN, semconv.AWSKMSAliasARN}},
		{setting: "principals", patterns: c.Principals, fields: []string{semconv.KeytrailPrincipalID}},
		{setting: "accounts", patterns: c.Accounts, fields: []string{semconv.AWSKMSKeyAccountID,
			semconv.AWSUserIdentityAccountID, semconv.CloudAccountID}},
		{setting: "regions", patterns: c.Regions, fields: []string{semconv.CloudRegion}},
	}
}

// inResource are the fields that stand in a record's resource.
var inResource = []string{semconv.CloudAccountID, semconv.CloudRegion}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c Config) Validate() error {
	var p setting.Problems
	for _, l := range c.lists() {
		if n := len(l.patterns); n > maxPatterns {
			p.Add(l.setting, "%d patterns are too many; allowed: %d", n, maxPatterns)
		}
		for _, text := range l.patterns {
			switch {
			case strings.TrimPrefix(text, "!") == "":
				p.Add(l.setting, `%q matches nothing; write a value, or a pattern such as "*:111122223333:key/*"`, text)
			case len(text) > maxLength:
				p.Add(l.setting, "a pattern of %d bytes is too long; allowed: %d", len(text), maxLength)
			}
		}
	}
	return p.Err()
}

// list is one list of patterns.
type list struct {
	setting   string
	patterns  []string
	fields    []string // none: the event name
	yes, no   []string
	operation bool
}

// Filter is a Config made ready. It is not safe for concurrent use.
type Filter struct {
	name  *list // of event names; nil for none
	lists []list
	whole bool // the resource is needed
	names *otellog.Names
	ends  bool // see AdmitEnds
	rec   otellog.Record
}

// ended is the value of keytrail.anomaly.state after the end.
const ended = "ended"

// New returns the filter of c, which is valid; nil for one that admits every record.
func New(c Config) *Filter {
	f := &Filter{}
	var wanted []string
	for _, l := range c.lists() {
		if len(l.patterns) == 0 {
			continue
		}
		for _, text := range l.patterns {
			if rest, not := strings.CutPrefix(text, "!"); not {
				l.no = append(l.no, rest)
			} else {
				l.yes = append(l.yes, text)
			}
		}
		if l.fields == nil {
			f.name = &l
			continue
		}
		l.operation = l.setting == "operations"
		f.lists = append(f.lists, l)
		wanted = append(wanted, l.fields...)
		f.whole = f.whole || slices.ContainsFunc(l.fields, func(s string) bool { return slices.Contains(inResource, s) })
	}
	if f.name == nil && f.lists == nil {
		return nil
	}
	f.names = otellog.NewNames(append(wanted, semconv.KeytrailAnomalyState, semconv.KeytrailIncidentState)...)
	return f
}

// AdmitEnds has f admit the end of an anomaly or an incident whatever its severity is then, for
// a receiver that has it open since a revision with another severity. It returns f.
func (f *Filter) AdmitEnds() *Filter {
	if f != nil {
		f.ends = true
	}
	return f
}

// Admits reports whether a record passes. eventName is the record's, "" if its Kafka record
// does not say it, and value its encoded form, of which no more is decoded than the lists
// need: nothing if the event name decides. A record that cannot be decoded passes, so that
// the sink judges it.
func (f *Filter) Admits(eventName string, value []byte) bool {
	if f == nil {
		return true
	}
	if f.name != nil && eventName != "" && !f.name.admits(eventName, nil) {
		return false
	}
	if f.lists == nil && eventName != "" {
		return true
	}
	var err error
	if f.rec.Reset(); f.whole {
		err = f.rec.Decode(value)
	} else {
		err = f.rec.DecodeOnly(value, f.names)
	}
	if err != nil {
		return true
	}
	if f.name != nil && eventName == "" && !f.name.admits(f.rec.EventName, nil) {
		return false
	}
	over := f.ends && (f.rec.Str(semconv.KeytrailAnomalyState) == ended ||
		f.rec.Str(semconv.KeytrailIncidentState) == ended)
	for i := range f.lists {
		if over && f.lists[i].setting == "severities" {
			continue
		}
		if !f.lists[i].admits(eventName, &f.rec) {
			return false
		}
	}
	return true
}

// admits reports whether the list admits a record.
func (l *list) admits(eventName string, rec *otellog.Record) bool {
	return !l.matches(l.no, eventName, rec) && (len(l.yes) == 0 || l.matches(l.yes, eventName, rec))
}

// matches reports whether one of the patterns matches a value that the record has.
func (l *list) matches(patterns []string, eventName string, rec *otellog.Record) bool {
	if l.fields == nil || len(patterns) == 0 {
		return matchAny(patterns, eventName)
	}
	for _, attrs := range [][]otellog.Attr{rec.Attrs, rec.Resource} {
		for i := range attrs {
			if !slices.Contains(l.fields, attrs[i].Key) {
				continue
			}
			if matchAny(patterns, attrs[i].Str) {
				return true
			}
			at := strings.LastIndexByte(attrs[i].Str, '/')
			if l.operation && at >= 0 && matchAny(patterns, attrs[i].Str[at+1:]) {
				return true
			}
		}
	}
	return false
}

func matchAny(patterns []string, value string) bool {
	for _, pattern := range patterns {
		if Match(pattern, value) {
			return true
		}
	}
	return false
}

// Match reports whether pattern, in which "*" stands for any characters, matches the whole
// of value. It takes time proportional to the product of their lengths at most.
func Match(pattern, value string) bool {
	star, mark := -1, 0 // the last "*", and where in value what follows it is tried
	p, v := 0, 0
	for v < len(value) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, v
			p++
		case p < len(pattern) && pattern[p] == value[v]:
			p++
			v++
		case star >= 0:
			mark++
			p, v = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
