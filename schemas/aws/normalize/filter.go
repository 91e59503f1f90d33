package normalize

import (
	"fmt"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
)

// Filter says why an event becomes no log record.
type Filter uint8

// The reasons.
const (
	Kept            Filter = iota // it becomes one
	NotWanted                     // it is of another service, or a call of CloudTrail that changes nothing
	NotEvent                      // a digest file, which holds no events
	NetworkActivity               // the second record of a call, made by a VPC endpoint
	Aggregated                    // a summary of five minutes of data events
	Insight                       // CloudTrail Insights' word about many calls
	NumFilters
)

// String returns the value of the label "reason" in metrics; "" for Kept.
func (f Filter) String() string {
	return [...]string{"", "not_wanted", "not_event", "network_activity", "aggregated", "insight"}[f]
}

// Filtered is how many events were filtered, by the reason.
type Filtered [NumFilters]int64

// Named lists the reasons that are worth a word, behind a space and in brackets, as in
// " (2 network_activity, 1 insight)"; "" for none. Events of other services are most of
// a trail, so they are not among them.
func (f Filtered) Named() string {
	var list []string
	for reason := NetworkActivity; reason < NumFilters; reason++ {
		if f[reason] > 0 {
			list = append(list, fmt.Sprintf("%d %s", f[reason], reason))
		}
	}
	if list == nil {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// FilterOf reports why ev becomes no log record. Keytrail is about all events of KMS, the
// CloudTrail calls that change what is recorded, and the findings about a trail's digests,
// once for each call. Records that only tell of calls are filtered, whatever
// service they are of:
//   - CloudTrail writes a network activity event for each call through a VPC endpoint,
//     beside the management event of the same call. Only a call that the endpoint's policy
//     refused has no management event, because it never reached the service: its record is
//     kept, as a refused call.
//   - Aggregated events sum up data events, and Insights events say that something was
//     unusual.
//
// Sources: AWS CloudTrail user guide, "Logging network activity events", "CloudTrail record
// contents for aggregated events" and "CloudTrail record contents for Insights events".
func FilterOf(ev *cloudtrail.Event) Filter {
	switch {
	case ev.Category == "NetworkActivity", ev.Type == "AwsVpceEvent":
		if ev.ErrorCode != "VpceAccessDenied" {
			return NetworkActivity
		}
	case ev.Category == "Aggregated", ev.Type == "AwsAggregatedEvent":
		return Aggregated
	case ev.Category == "Insight", ev.Type == "AwsCloudTrailInsight":
		return Insight
	}
	if ev.Source == serviceKMS || ev.Source == serviceTrail && trailChanges[ev.Name] || ev.Source == ServiceDigest {
		return Kept
	}
	return NotWanted
}

// Wanted reports whether ev becomes a log record (see FilterOf).
func Wanted(ev *cloudtrail.Event) bool { return FilterOf(ev) == Kept }
