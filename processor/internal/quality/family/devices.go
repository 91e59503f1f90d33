package family

import (
	"fmt"
	"time"
)

var devices = Family{
	Name: "devices",
	About: "Gateways poll at steady steps, more evenly than chance. A gateway has one key, and one collector has all. " +
		"Gateways are numbered and replaced after some weeks. Day and night are alike; new firmware comes in waves.",
	Build: buildDevices,
}

func buildDevices(o *Org) {
	account := o.Account(40)
	collector := o.Role(account, "fleet-collector")
	waves := []time.Time{o.Start.AddDate(0, 0, 9).Add(2 * time.Hour), o.Start.AddDate(0, 0, 23).Add(3 * time.Hour)}
	for i := range o.Keys {
		key := o.Key(account, []string{"eu-west-1", "us-west-2"}[i%2], "gateway", fmt.Sprintf("gw-%04d-", i))
		step := time.Duration(4+o.Rand.IntN(40)) * time.Minute
		generation := 1
		gateway := o.Role(account, fmt.Sprintf("gateway-%04d-g%d", i, generation))
		replace := o.Within(o.Start, 60*24*time.Hour)
		for at := o.Within(o.Start, step); at.Before(o.End); at = at.Add(step + time.Duration(o.Rand.IntN(20))*time.Second) {
			if at.After(replace) {
				generation++
				gateway, replace = o.Role(account, fmt.Sprintf("gateway-%04d-g%d", i, generation)), o.End
			}
			o.Do(at, gateway, "Decrypt", key, 0)
			if o.Rand.Float64() < 0.03 {
				o.Do(at.Add(time.Second), gateway, "Decrypt", key, 0).Error = "ThrottlingException"
			}
		}
		o.Hours(func(hour time.Time) { o.Do(o.Within(hour, 30*time.Minute), collector, "Decrypt", key, 1) })
		for _, wave := range waves {
			at := o.Within(wave, 6*time.Hour)
			for part := range 12 {
				o.Do(at.Add(time.Duration(part)*5*time.Second), gateway, "Decrypt", key, 100+part)
			}
		}
	}
}
