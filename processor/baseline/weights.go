package baseline

import (
	"math"

	"keytrail/processor/eventtime"
)

// The learned time of each slot is not stored: all time from a state's Since to its Until
// was learned, and time of age t weighs 2^(-t/halfLife). The decayed time of an interval
// [a, b), seen from its end, is the integral of that weight. A slot's intervals repeat
// every week, so their weights are geometric series.

const (
	hour = eventtime.Hour
	day  = eventtime.Day
	week = 7 * day
)

var (
	// unit is the decayed time of an endless past, in ns: halfLife / ln 2.
	unit = float64(halfLife) / math.Ln2
	// byDays[k] is the weight of an age of k days.
	byDays = func() (w [9]float64) {
		for k := range w {
			w[k] = fade(int64(k) * day)
		}
		return w
	}()
	anHour  = 1 - fade(hour)       // the share of the last hour in unit
	repeats = 1 / (1 - fade(week)) // the factor for the sum over all weeks
)

// fade returns the weight of an age of age ns.
func fade(age int64) float64 { return math.Exp2(-float64(age) / float64(halfLife)) }

// allWeight returns the decayed time from since to until, in ns, as seen at until.
func allWeight(since, until int64) float64 { return unit * (1 - fade(until-since)) }

// slotWeight returns the part of it in one slot.
func slotWeight(slot int, since, until int64) float64 {
	return max(unit*(past(slot, until)-fade(until-since)*past(slot, since)), 0)
}

// past returns the decayed time of a slot in all time before t, in units.
func past(slot int, t int64) float64 {
	today := t / day * day
	begin := today + int64(slot%24)*hour // of the slot's hour today
	age := fade(t - begin - hour)        // above 1 when that hour has not ended
	sum := 0.0
	for k := int64(0); k <= 7; k++ {
		if weekend(today-k*day) != (slot >= 24) {
			continue
		}
		switch {
		case k > 0 && k < 7 || k == 0 && t >= begin+hour:
			sum += age * byDays[k] * anHour * repeats
		case k == 0 && t > begin: // the part of the hour that has passed
			sum += 1 - fade(t-begin)
		case k == 7 && t < begin+hour: // the same day of last week, which stands for today
			sum += age * byDays[k] * anHour * repeats
		}
	}
	return sum
}

// weekend reports whether t, in ns since 1970, is a Saturday or Sunday (UTC).
func weekend(t int64) bool {
	weekday := (t/day + 4) % 7 // 1970-01-01 was a Thursday
	return weekday == 0 || weekday == 6
}
