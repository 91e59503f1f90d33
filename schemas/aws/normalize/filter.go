package normalize

import (
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
)

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
func FilterOf(ev *cloudtrail.Event) decoding.Filter {
	switch {
	case ev.Category == "NetworkActivity", ev.Type == "AwsVpceEvent":
		if ev.ErrorCode != "VpceAccessDenied" {
			return decoding.NetworkActivity
		}
	case ev.Category == "Aggregated", ev.Type == "AwsAggregatedEvent":
		return decoding.Aggregated
	case ev.Category == "Insight", ev.Type == "AwsCloudTrailInsight":
		return decoding.Insight
	}
	if ev.Source == serviceKMS || ev.Source == serviceTrail && trailChanges[ev.Name] || ev.Source == ServiceDigest {
		return decoding.Kept
	}
	return decoding.NotWanted
}
