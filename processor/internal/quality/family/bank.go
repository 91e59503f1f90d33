package family

import (
	"fmt"
	"math"
	"time"
)

var bank = Family{
	Name: "bank",
	About: "Batch jobs read everything at fixed times, and a few users look at single things. Each key has one program. " +
		"Roles never change; people are IAM users. Business days with two holidays, month ends, and an audit.",
	Build: buildBank,
}

func buildBank(o *Org) {
	var auditor []*Principal
	for n := range 4 {
		auditor = append(auditor, o.Person(o.Account(10+n), "kim.ito", "Auditor"))
	}
	var keys []*Key
	for i := range o.Keys {
		account := o.Account(10 + i%4)
		key := o.Key(account, "eu-central-1", "AccountBook", fmt.Sprintf("%s-", name(i)))
		who := o.Role(account, name(i)+"-batch")
		keys = append(keys, key)
		o.batches(who, key)
		o.trickle(o.Role(account, name(i)+"-online"), key)
		if i%6 == 0 {
			clerk := o.User(account, fmt.Sprintf("clerk.%s", name(i)))
			o.Days(func(day time.Time) {
				if business(day) {
					for range o.Poisson(5) {
						o.Do(o.Within(day.Add(8*time.Hour), 8*time.Hour), clerk, "Decrypt", key, o.Rand.IntN(200))
					}
				}
			})
		}
	}
	audit := o.Quiet.AddDate(0, 0, 8).Add(10 * time.Hour)
	for i, k := range keys {
		o.Do(audit.Add(time.Duration(i)*7*time.Second), auditor[i%4], "DescribeKey", k, -1)
		o.Do(audit.Add(time.Duration(i)*7*time.Second+time.Second), auditor[i%4], "GetKeyRotationStatus", k, -1)
	}
}

// batches makes the calls of jobs: at the end of each business day, and three times as many
// on the last one of a month.
func (o *Org) batches(who *Principal, key *Key) {
	at := time.Duration(16*60+o.Rand.IntN(420)) * time.Minute
	n := 20 * math.Min(o.Pareto(1), 30)
	o.Days(func(day time.Time) {
		if !business(day) {
			return
		}
		count := int(n * o.LogNormal(0.1))
		next := day.AddDate(0, 0, 1)
		if next.Day() == 1 || next.Weekday() == time.Saturday && day.AddDate(0, 0, 3).Day() <= 3 {
			count *= 3
		}
		begin := day.Add(at + time.Duration(o.Rand.IntN(300))*time.Second)
		for i := range count {
			o.Do(begin.Add(time.Duration(i)*1500*time.Millisecond), who, "Decrypt", key, i)
		}
	})
}

// trickle makes a few calls in the hours of business.
func (o *Org) trickle(who *Principal, key *Key) {
	perHour := 2 * math.Min(o.Pareto(1.2), 30)
	o.Hours(func(hour time.Time) {
		rate := perHour / 20
		if business(hour) && hour.Hour() >= 7 && hour.Hour() < 17 {
			rate = perHour * (1 - math.Abs(float64(hour.Hour())-12)/10)
		}
		for range o.Poisson(rate * o.LogNormal(0.25)) {
			op := "GenerateDataKey"
			if o.Rand.Float64() < 0.6 {
				op = "Decrypt"
			}
			o.Do(o.Within(hour, time.Hour), who, op, key, o.Rand.IntN(300))
		}
	})
}

// business reports whether a day is one of business.
func business(at time.Time) bool {
	holiday := at.Month() == time.January && (at.Day() == 6 || at.Day() == 26)
	return at.Weekday() != time.Saturday && at.Weekday() != time.Sunday && !holiday
}
