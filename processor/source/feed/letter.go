package feed

import (
	"errors"
	"time"

	"keytrail/processor/source"
	"keytrail/schemas/decoding"
	"keytrail/schemas/wire"
)

// GivenUp returns the dead letter of an object that Retry has given up because of err.
func GivenUp(stage string, o source.Object, err error, now time.Time) wire.DeadLetter {
	reason, detail, raw := decoding.ReasonRead, err.Error(), o.Inline
	var rejected *source.Rejected
	switch {
	case errors.As(err, &rejected):
		reason, detail = decoding.Reason(rejected.Reason), rejected.Detail
		if rejected.Raw != nil {
			raw = rejected.Raw
		}
	case source.Judge(err) == source.Gone:
		reason = source.ReasonGone
	}
	return objectLetter(stage, o, reason, detail, raw, now)
}

// Expiring returns the dead letter of an object of Expirer.Expiring: a restart would not find
// it again.
func Expiring(stage string, o source.Object, now time.Time) wire.DeadLetter {
	detail := "not all of its records are acknowledged, and the queue will drop its message: " +
		"a restart would not read it again; replay reads it by its name"
	if o.Inline != nil {
		detail = "not all of its records are acknowledged, and the queue will drop its message, which holds it: " +
			"a restart would not read it again; replay reads the bytes of this dead letter"
	}
	return objectLetter(stage, o, source.ReasonUnacknowledged, detail, o.Inline, now)
}

// objectLetter returns the dead letter of a whole object, with at most MaxRawBytes of raw.
func objectLetter(stage string, o source.Object, reason decoding.Reason, detail string, raw []byte,
	now time.Time) wire.DeadLetter {
	n := min(len(raw), decoding.MaxRawBytes)
	bad := decoding.BadRecord{Object: o.Name, Reason: reason, Detail: detail, Raw: raw[:n], Cut: n < len(raw)}
	return wire.FromBadRecord(stage, &bad, now)
}
