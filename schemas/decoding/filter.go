package decoding

import (
	"fmt"
	"strings"
)

// Filter says why an event becomes no log record.
type Filter uint8

// The reasons.
const (
	Kept            Filter = iota // it becomes one
	NotWanted                     // it is of another service, or changes neither a KMS key nor a trail
	NotEvent                      // a digest file, which holds no events
	NetworkActivity               // the second record of a call, made by a VPC endpoint
	Aggregated                    // a summary of five minutes of data events
	Insight                       // a finding about many calls
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
