package normalize

import (
	"encoding/json"
	"slices"
	"strings"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// This file reads the documents inside management events: key policies and
// event selectors. They are rare, so encoding/json serves; a document that does
// not parse yields no attribute and stays in the body.

// trail writes what a CloudTrail call changes about what is recorded.
func (n *Normalizer) trail(ev *cloudtrail.Event, rec *otellog.Record) {
	rec.String(semconv.AWSKMSEncryptionContextClass, ContextNone.String())
	rec.String(semconv.AWSCloudTrailTrail, first(ev.Request.TrailName, ev.Request.EventDataStore))
	if ev.Request.EventSelectors == "" && ev.Request.AdvancedSelectors == "" {
		return
	}
	var s selection
	if ev.Request.EventSelectors != "" {
		s.basic(ev.Request.EventSelectors)
	}
	if ev.Request.AdvancedSelectors != "" {
		s.advanced(ev.Request.AdvancedSelectors)
	}
	if !s.known {
		return
	}
	rec.Bool(semconv.AWSCloudTrailManagementEvents, s.management)
	if s.management {
		rec.Strings(semconv.AWSCloudTrailExcludedSources, s.excluded())
	}
}

// selection is what a set of event selectors records of management events.
type selection struct {
	known      bool       // some selector could be read
	management bool       // at least one selector records management events
	lists      [][]string // for each such selector, the sources that it leaves out
}

// basic reads eventSelectors. encoding/json takes both spellings of
// excludeManagementEventSources, because it ignores case.
func (s *selection) basic(text string) {
	var list []struct {
		IncludeManagementEvents       *bool
		ExcludeManagementEventSources []string
	}
	if json.Unmarshal([]byte(text), &list) != nil {
		return
	}
	s.known = true
	for _, e := range list {
		if e.IncludeManagementEvents == nil || *e.IncludeManagementEvents {
			s.management = true
			s.lists = append(s.lists, e.ExcludeManagementEventSources)
		}
	}
}

// advanced reads advancedEventSelectors.
func (s *selection) advanced(text string) {
	var list []struct {
		FieldSelectors []struct {
			Field             string
			Equals, NotEquals []string
		}
	}
	if json.Unmarshal([]byte(text), &list) != nil {
		return
	}
	s.known = true
	for _, e := range list {
		management, out := false, []string(nil)
		for _, f := range e.FieldSelectors {
			switch f.Field {
			case "eventCategory":
				management = slices.Contains(f.Equals, "Management")
			case "eventSource":
				out = append(out, f.NotEquals...)
				if len(f.Equals) > 0 && !slices.Contains(f.Equals, serviceKMS) {
					out = append(out, serviceKMS)
				}
			}
		}
		if management {
			s.management = true
			s.lists = append(s.lists, out)
		}
	}
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

// publicPolicy tells whether a key policy lets everyone in: a statement that
// allows the principal "*" and has no condition.
func publicPolicy(text string) bool {
	var doc struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(text), &doc) != nil {
		return false
	}
	type statement struct {
		Effect    string
		Principal json.RawMessage
		Condition map[string]json.RawMessage
	}
	var list []statement
	if json.Unmarshal(doc.Statement, &list) != nil {
		var one statement
		if json.Unmarshal(doc.Statement, &one) != nil {
			return false
		}
		list = []statement{one}
	}
	for _, st := range list {
		if strings.EqualFold(st.Effect, "Allow") && len(st.Condition) == 0 && everyone(st.Principal) {
			return true
		}
	}
	return false
}

func everyone(principal json.RawMessage) bool {
	var text string
	if json.Unmarshal(principal, &text) == nil {
		return text == "*"
	}
	var byKind map[string]json.RawMessage
	if json.Unmarshal(principal, &byKind) != nil {
		return false
	}
	var list []string
	if aws := byKind["AWS"]; json.Unmarshal(aws, &list) != nil && json.Unmarshal(aws, &text) == nil {
		list = []string{text}
	}
	return slices.Contains(list, "*")
}
