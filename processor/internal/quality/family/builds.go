package family

import (
	"fmt"
	"time"
)

var builds = Family{
	Name: "builds",
	About: "Builds come in rows, and a row reads the same secrets within minutes. All builds of a product " +
		"share its keys. Every build has its own role, or a session with its own name. Three offices in three time zones, " +
		"freezes, and a release every second Thursday.",
	Build: buildBuilds,
}

func buildBuilds(o *Org) {
	products := max(4, o.Keys/6)
	for i := range products {
		account := o.Account(20 + i%5)
		var keys []*Key
		for k := range 6 {
			context, prefix := "PARAMETER_ARN", fmt.Sprintf("arn:aws:ssm:us-east-1:%s:parameter/%s/%d/", account, name(i), k)
			if k%2 == 1 {
				context, prefix = "aws:s3:arn", fmt.Sprintf("arn:aws:s3:::artifacts-%s-%d/", name(i), k)
			}
			keys = append(keys, o.Key(account, "us-east-1", context, prefix))
		}
		o.product(i, account, keys)
	}
}

// product makes the builds of a product, and its deployed service.
func (o *Org) product(i int, account string, keys []*Key) {
	office, busy := []int{1, 8, 16}[i%3], 2+4*o.Rand.Float64()
	shared, apart := o.Role(account, "ci/runner-"+name(i)), i%2 == 0
	var services []*Principal
	for k := range keys {
		services = append(services, o.Role(account, fmt.Sprintf("svc-%s-%c", name(i), 'a'+k)))
	}
	n := 0
	o.Hours(func(hour time.Time) {
		rate := 0.1
		local := (hour.Hour() - office + 24) % 24
		weekday := hour.Weekday() != time.Saturday && hour.Weekday() != time.Sunday
		if weekday && local < 9 && hour.Day()/4 != 5 { // a freeze from the 20th to the 23rd
			rate = busy
			if _, week := hour.ISOWeek(); hour.Weekday() == time.Thursday && week%2 == 0 {
				rate *= 2
			}
		}
		for range o.Poisson(rate) {
			n++
			who := shared
			if apart {
				who = o.Role(account, fmt.Sprintf("build-%s-%08x", name(i), o.Rand.Uint32()))
			} else if n%7 == 0 {
				shared = o.Role(account, "ci/runner-"+name(i)) // another session
				who = shared
			}
			at := o.Within(hour, 50*time.Minute)
			for job := range 1 + o.Rand.IntN(3) {
				for step := range 3 + o.Rand.IntN(8) {
					op := "Decrypt"
					if step%4 == 3 {
						op = "GenerateDataKey"
					}
					o.Do(at.Add(time.Duration(job*120+step*3)*time.Second), who, op, keys[step%len(keys)], step)
				}
			}
		}
		for k, who := range services {
			for range o.Poisson(12 / float64(1+2*k)) {
				o.Do(o.Within(hour, time.Hour), who, "Decrypt", keys[k], o.Rand.IntN(9))
			}
		}
		if hour.Hour() == 13 {
			planner := o.Role(account, "terraform-plan")
			for _, k := range keys {
				o.Do(o.Within(hour, 5*time.Minute), planner, "DescribeKey", k, -1)
			}
		}
	})
}
