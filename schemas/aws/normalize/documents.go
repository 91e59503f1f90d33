package normalize

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// This file reads the event selectors inside management events. They are rare, so
// encoding/json serves; selectors that do not parse yield no attribute and stay in the
// body. Key policies are read by package keypolicy.

// trail writes what a CloudTrail call changes about what is recorded.
func (n *Normalizer) trail(ev *cloudtrail.Event, rec *otellog.Record) {
	q := &ev.Request
	rec.String(semconv.KeytrailContextClass, kms.ContextNone.String())
	rec.String(semconv.AWSCloudTrailTrail, first(q.TrailName, q.EventDataStore))
	rec.String(semconv.AWSCloudTrailS3Bucket, q.S3Bucket)
	rec.String(semconv.AWSCloudTrailKMSKeyARN, n.complete(ev, q.KMSKeyID))
	boolean(rec, semconv.AWSCloudTrailMultiRegion, q.MultiRegionTrail)
	boolean(rec, semconv.AWSCloudTrailOrganization, q.OrganizationTrail)
	var insights []json.RawMessage
	if q.InsightSelectors != "" && json.Unmarshal([]byte(q.InsightSelectors), &insights) == nil {
		rec.Bool(semconv.KeytrailTrailInsights, len(insights) > 0)
	}
	var s selection
	if q.EventSelectors != "" {
		s.basic(q.EventSelectors)
	}
	if q.AdvancedSelectors != "" {
		s.advanced(q.AdvancedSelectors)
	}
	if !s.known {
		return
	}
	rec.Bool(semconv.KeytrailTrailManagementEvents, s.management)
	if s.management {
		rec.Strings(semconv.KeytrailTrailExcludedSources, s.excluded())
	}
	rec.String(semconv.KeytrailTrailKMSEvents, s.kmsEvents())
}

// selection is what a set of event selectors records of management events. An
// event is recorded when any of them selects it.
type selection struct {
	known      bool       // some selector could be read
	management bool       // at least one selector records management events
	lists      [][]string // for each such selector, the sources that it leaves out

	// The events of KMS that are recorded: those that read, which the
	// cryptographic operations do; those that write; and some of either.
	reads, writes, some bool
}

// basic reads eventSelectors. encoding/json takes both spellings of
// excludeManagementEventSources, because it ignores case.
func (s *selection) basic(text string) {
	var list []struct {
		ReadWriteType                 string
		IncludeManagementEvents       words
		ExcludeManagementEventSources words
	}
	if json.Unmarshal([]byte(text), &list) != nil {
		return
	}
	s.known = true
	for _, e := range list {
		if slices.Contains(e.IncludeManagementEvents, "false") {
			continue
		}
		s.management = true
		s.lists = append(s.lists, e.ExcludeManagementEventSources)
		if !slices.Contains(e.ExcludeManagementEventSources, serviceKMS) {
			s.reads = s.reads || !strings.EqualFold(e.ReadWriteType, "WriteOnly")
			s.writes = s.writes || !strings.EqualFold(e.ReadWriteType, "ReadOnly")
		}
	}
}

// condition is one field selector of an advanced event selector.
// Source: AWS CloudTrail API reference, "AdvancedFieldSelector".
type condition struct {
	Field                     string
	Equals, NotEquals         words
	StartsWith, NotStartsWith words
	EndsWith, NotEndsWith     words
}

// words is a list of texts, which tools that rewrite events turn into one text where it
// has one. Booleans are "true" and "false".
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var list []any
	if json.Unmarshal(text, &list) != nil {
		list = make([]any, 1)
		if err := json.Unmarshal(text, &list[0]); err != nil || list[0] == nil {
			return err
		}
	}
	for _, item := range list {
		*w = append(*w, strings.ToLower(fmt.Sprint(item)))
	}
	return nil
}

// meets reports whether a field with this value is selected: by one value of each
// list that selects, and by none that excludes.
func (c *condition) meets(value string) bool {
	is := func(v string) bool { return v == value }
	begins := func(v string) bool { return strings.HasPrefix(value, v) }
	ends := func(v string) bool { return strings.HasSuffix(value, v) }
	some := func(list []string, f func(string) bool) bool { return len(list) == 0 || slices.ContainsFunc(list, f) }
	return some(c.Equals, is) && some(c.StartsWith, begins) && some(c.EndsWith, ends) &&
		!slices.ContainsFunc(c.NotEquals, is) && !slices.ContainsFunc(c.NotStartsWith, begins) &&
		!slices.ContainsFunc(c.NotEndsWith, ends)
}

// advanced reads advancedEventSelectors.
func (s *selection) advanced(text string) {
	var list []struct{ FieldSelectors []condition }
	if json.Unmarshal([]byte(text), &list) != nil {
		return
	}
	s.known = true
	for _, e := range list {
		management, ofKMS, reads, writes, narrowed, out := false, true, true, true, false, []string(nil)
		for _, c := range e.FieldSelectors {
			switch c.Field {
			case "eventCategory":
				management = len(c.Equals) > 0 && c.meets("management")
			case "eventSource":
				out = append(out, c.NotEquals...)
				ofKMS = ofKMS && c.meets(serviceKMS)
			case "readOnly":
				reads, writes = reads && c.meets("true"), writes && c.meets("false")
			default:
				narrowed = true
			}
		}
		if !management {
			continue
		}
		s.management = true
		if !ofKMS && !slices.Contains(out, serviceKMS) {
			out = append(out, serviceKMS)
		}
		s.lists = append(s.lists, out)
		switch {
		case ofKMS && narrowed:
			s.some = s.some || reads || writes
		case ofKMS:
			s.reads, s.writes = s.reads || reads, s.writes || writes
		}
	}
}

// kmsEvents returns the value of keytrail.trail.kms_events.
func (s *selection) kmsEvents() string {
	switch {
	case s.reads && s.writes:
		return "all"
	case s.some:
		return "partial"
	case s.reads:
		return "read_only"
	case s.writes:
		return "write_only"
	}
	return "none"
}

// excluded returns the sources that every selector leaves out.
func (s *selection) excluded() []string {
	var all []string
	for _, source := range s.lists[0] {
		everywhere := true
		for _, list := range s.lists[1:] {
			everywhere = everywhere && slices.Contains(list, source)
		}
		if everywhere && source != "" && !slices.Contains(all, source) {
			all = append(all, source)
		}
	}
	return all
}
