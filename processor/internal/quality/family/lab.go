package family

import (
	"fmt"
	"math"
	"time"
)

var lab = Family{
	Name: "lab",
	About: "Jobs of any length come when somebody has an idea, and are heavy-tailed. Everybody may use the keys " +
		"of a group. People work themselves and through notebooks named after sessions. Work at any hour, on-call nights, weeks of leave.",
	Build: buildLab,
}

func buildLab(o *Org) {
	groups := max(3, o.Keys/8)
	for g := range groups {
		account := o.Account(50 + g%6)
		var keys []*Key
		for k := range 8 {
			prefix := fmt.Sprintf("arn:aws:s3:::lab-%s-%d/run/", name(g), k)
			keys = append(keys, o.Key(account, "us-west-2", "aws:s3:arn", prefix))
		}
		ingest := o.Role(account, "ingest-"+name(g))
		o.Hours(func(hour time.Time) {
			for i, k := range keys {
				for range o.Poisson(9 / float64(1+i)) {
					o.Do(o.Within(hour, time.Hour), ingest, "GenerateDataKey", k, o.Rand.IntN(1000))
				}
			}
		})
		for m := range 4 {
			o.member(account, fmt.Sprintf("%s.%s", []string{"ada", "bo", "cy", "di"}[m], name(g)), keys, m)
		}
	}
}

// member makes the life of a member of a group: days in the console, and jobs.
func (o *Org) member(account, who string, keys []*Key, m int) {
	person := o.Person(account, who, "Research"+string(rune('A'+m)))
	leave := o.Within(o.Start, 28*24*time.Hour)
	mine := keys[m : m+4]
	runner := o.Role(account, "notebook-"+who)
	o.Days(func(day time.Time) {
		if day.After(leave) && day.Before(leave.AddDate(0, 0, 7)) || o.Rand.Float64() < 0.3 {
			return
		}
		begin := day.Add(time.Duration(9+m)*time.Hour + time.Duration(o.Rand.NormFloat64()*float64(100*time.Minute)))
		if o.Rand.Float64() < 0.03 { // on call
			begin = day.Add(2 * time.Hour)
		}
		for range o.Poisson(4) {
			at := o.Within(begin, 8*time.Hour)
			o.Do(at, person, "DescribeKey", Pick(o, mine), -1)
			o.Do(at.Add(20*time.Second), person, "Decrypt", Pick(o, mine), o.Rand.IntN(1000))
		}
		for range o.Poisson(1.5) {
			o.job(o.Within(begin, 8*time.Hour), runner, Pick(o, mine))
		}
	})
}

// job makes the calls of a job whose length is heavy-tailed.
func (o *Org) job(at time.Time, who *Principal, key *Key) {
	n := int(8 * math.Min(o.Pareto(1.1), 40))
	step := time.Duration(2+o.Rand.IntN(40)) * time.Second
	for i := range n {
		op := "Decrypt"
		if i%5 == 4 {
			op = "GenerateDataKey"
		}
		o.Do(at.Add(time.Duration(i)*step), who, op, key, o.Rand.IntN(1000))
	}
}
