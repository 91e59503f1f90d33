package usage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/processor/keyledger"
)

// AWS is what AWS itself tells of a key, and how the input agrees. The readings of the last
// use are "used", "never_used", and "unknown_before_tracking" for a key that is older than
// AWS's records of uses.
type AWS struct {
	State        string     `json:"state,omitempty"` // as DescribeKey writes it
	Manager      string     `json:"manager,omitempty"`
	Created      *time.Time `json:"created,omitempty"`
	DeletionDate *time.Time `json:"deletion_date,omitempty"`
	ValidTo      *time.Time `json:"valid_to,omitempty"`
	Differences  []string   `json:"differences,omitempty"`

	Reading       string     `json:"last_use_reading,omitempty"`
	Operation     string     `json:"last_use_operation,omitempty"`
	At            *time.Time `json:"last_use,omitempty"`
	EventID       string     `json:"last_use_event_id,omitempty"`
	RequestID     string     `json:"last_use_request_id,omitempty"`
	TrackingSince *time.Time `json:"tracking_since,omitempty"`
	// Join is how the input agrees on the last use: see Recent.Join.
	Join   string   `json:"join,omitempty"`
	Errors []string `json:"errors,omitempty"`
}

// The readings of a last use.
const (
	ReadUsed    = "used"
	ReadNever   = "never_used"
	ReadUnknown = "unknown_before_tracking"
)

// The results of Join.
const (
	JoinFound     = "found"
	JoinOutside   = "outside_period"  // of the input
	JoinTooRecent = "too_recent"      // CloudTrail may deliver it yet
	JoinOlder     = "older"           // than the uses that the input has and Recent keeps
	JoinMissing   = "missing"         // a proven gap
	settled       = 24 * 60 * 60      // s, after which a trail has an event
	maxRecent     = 16                // uses kept per key
	mostKeys      = keyledger.MaxKeys // of Recent
)

// Recent keeps the newest uses of each key, by their ids in every copy of the record. It is
// a set, so the order of the input does not matter.
type Recent struct{ keys map[string][]recent }

type recent struct {
	at             int64
	event, request string
}

// Add takes a use of a key, at a time in s since 1970.
func (r *Recent) Add(key string, at int64, event, request string) {
	list, ok := r.keys[key]
	if !ok && len(r.keys) >= mostKeys || len(list) == maxRecent && at < list[0].at {
		return
	}
	u := recent{at, event, request}
	i, had := slices.BinarySearchFunc(list, u, func(a, b recent) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.event, b.event), strings.Compare(a.request, b.request))
	})
	if had {
		return
	}
	u.event, u.request = strings.Clone(event), strings.Clone(request)
	list = slices.Insert(list, i, u)
	if r.keys == nil {
		r.keys = map[string][]recent{}
	}
	if !ok {
		key = strings.Clone(key)
	}
	r.keys[key] = list[max(0, len(list)-maxRecent):]
}

// Join looks for the last use that AWS knows of in the input, by event id and request id. A
// use in the covered period, a day before its end or earlier, that the input does not have
// is a proven gap of the coverage.
func (r *Recent) Join(key string, a *AWS, p *Place) string {
	if a.At == nil {
		return ""
	}
	list, at := r.keys[key], a.At.Unix()
	for _, u := range list {
		if a.EventID != "" && u.event == a.EventID || a.RequestID != "" && u.request == a.RequestID {
			return JoinFound
		}
	}
	switch {
	case a.At.Before(p.From) || !a.At.Before(p.To):
		return JoinOutside
	case at > p.To.Unix()-settled:
		return JoinTooRecent
	case len(list) == maxRecent && at < list[0].at:
		return JoinOlder
	}
	return JoinMissing
}

// compare notes where the ledger and DescribeKey disagree on the state.
func (a *AWS) compare(state string) {
	var b strings.Builder // "PendingDeletion" is "pending_deletion" in the ledger
	for i, c := range a.State {
		if i > 0 && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	if theirs := strings.ToLower(b.String()); theirs != "" && theirs != state && state != Unknown {
		a.Differences = append(a.Differences, fmt.Sprintf("The input shows the state %s, and AWS says %s.", state, a.State))
	}
}

// reasons returns what AWS's answers say about the verdict.
func (a *AWS) reasons() (list []string) {
	list = append(list, a.Differences...)
	switch {
	case a.Join == JoinMissing:
		list = append(list, fmt.Sprintf("AWS knows the use %s on %s (event %s), which the input does not have: its coverage "+
			"has a gap.", a.Operation, minute(a.At.Unix()), a.EventID))
	case a.Reading == ReadUsed:
		list = append(list, fmt.Sprintf("AWS knows the last use %s on %s.", a.Operation, minute(a.At.Unix())))
	case a.Reading == ReadNever:
		list = append(list, "AWS knows no use since the creation of the key.")
	case a.Reading == ReadUnknown && a.TrackingSince != nil:
		list = append(list, fmt.Sprintf("AWS knows no use since %s; the key is older.", minute(a.TrackingSince.Unix())))
	}
	return list
}
