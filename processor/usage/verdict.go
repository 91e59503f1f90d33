package usage

import (
	"fmt"
	"time"

	"keytrail/processor/keyledger"
)

// The verdicts.
const (
	InUse         = "in_use"
	Idle          = "idle"
	SafeToDisable = "safe_to_disable_first"
	StillCalled   = "pending_deletion_still_called"
	Pending       = "pending_deletion"
	Deleted       = "deleted"
	Unknown       = "unknown"
)

// MinDays is the number of covered days without a use and without a gap below which no key
// counts as safe to disable.
const MinDays = 90

// judgment is what a verdict depends on. The ledger is that of all callers.
type judgment struct {
	key       *keyledger.Key // nil if the trail names only an alias
	state     string
	place     Place
	idleAfter time.Duration
	aws       *AWS     // nil if AWS was not asked
	digests   *Digests // nil if they were not verified
}

// verdict returns the verdict on a key and the reasons, as sentences.
func (j *judgment) verdict() (verdict string, reasons []string) {
	k := j.key
	if k == nil {
		return Unknown, []string{"The calls name only an alias, and the input does not show its key."}
	}
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	deletion, used := &k.Facts[keyledger.Deletion], &k.Facts[keyledger.Used]
	last := used.At
	if j.aws != nil {
		reasons = append(reasons, j.aws.reasons()...)
		if j.aws.At != nil {
			last = max(last, j.aws.At.Unix())
		}
	}
	if used.At > 0 {
		say("The last use was %s by %s on %s.", used.Value, used.By, minute(used.At))
	}
	switch j.state {
	case "deleted":
		say("The key was deleted on %s.", minute(deletion.At))
		return Deleted, reasons
	case "pending_deletion", "pending_replica_deletion":
		say("Its deletion was scheduled on %s, for %s.", minute(deletion.At), orUnknown(deletion.Until))
		if failed := &k.Facts[keyledger.Unusable]; failed.At > deletion.At {
			say("Since then calls fail, the last one at %s (%s by %s): cancel the deletion if they matter.",
				minute(failed.At), failed.Value, failed.By)
			return StillCalled, reasons
		}
		return Pending, reasons
	}
	end := j.place.To.Unix()
	if last > 0 && end-last < int64(j.idleAfter/time.Second) {
		return InUse, reasons
	}
	safe := j.safe(end, say)
	switch {
	case safe && (last == 0 || end-last >= MinDays*24*3600):
		say("%d covered days show no use. Disable the key first: that can be undone, deletion cannot.", MinDays)
		if k.Facts[keyledger.Created].At == 0 {
			say("The input does not show the creation of the key, so list its grants first: older ones may be open.")
		}
		return SafeToDisable, reasons
	case last == 0:
		say("The input shows no use.")
		return Unknown, reasons
	}
	return Idle, reasons
}

// safe reports whether only a use can speak against disabling the key, and states all other
// objections.
func (j *judgment) safe(end int64, say func(string, ...any)) bool {
	safe := true
	against := func(format string, args ...any) {
		safe = false
		say(format, args...)
	}
	if open := len(j.key.Open()); open > 0 {
		against("%d of its grants are open.", open)
	}
	if j.key.MoreGrants.Has() {
		against("The key has more grants than the ledger keeps.")
	}
	if j.key.Facts[keyledger.UnnamedEnd].At != 0 {
		say("A grant ended without its id, so one of the open grants may have ended.")
	}
	if j.place.Days < MinDays {
		against("The input covers %d days of account %s in %s, fewer than %d.", j.place.Days, j.place.Account,
			j.place.Region, MinDays)
	}
	for _, g := range newest(j.place.allGaps) {
		if end-g.To.Unix() < MinDays*24*3600 {
			against("The input has no event from %s to %s.", minute(g.From.Unix()), minute(g.To.Unix()))
		}
	}
	for _, b := range newest(j.place.allBlind) {
		switch {
		case end-b.At.Unix() >= MinDays*24*3600:
		case b.Account == j.place.Account:
			against("%s on %s: the trail %s may lack events of KMS.", b.Operation, minute(b.At.Unix()), b.Trail)
		default:
			against("%s on %s by account %s: if the trail %s is the organization's, it may lack events of KMS.",
				b.Operation, minute(b.At.Unix()), b.Account, b.Trail)
		}
	}
	j.digests.objections(against)
	if j.place.cut {
		against("The input has more days or changes of trails than usage keeps: judge fewer accounts at once.")
	}
	if j.aws != nil && j.aws.Join == JoinMissing { // the reasons have it already
		safe = false
	}
	return safe
}

// newest returns the last maxGaps of a list in order of time, which bounds the reasons.
func newest[T any](list []T) []T { return list[max(0, len(list)-maxGaps):] }

func minute(s int64) string { return time.Unix(s, 0).UTC().Format("2006-01-02 15:04Z") }

func orUnknown(s int64) string {
	if s == 0 {
		return "a date that the input does not show"
	}
	return minute(s)
}
