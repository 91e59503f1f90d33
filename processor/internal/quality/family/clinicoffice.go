package family

import (
	"fmt"
	"time"
)

// office makes the calls of an administration: clerks by day, a billing run on working
// evenings that is long at the month's end.
func (o *Org) office(c *campus, key *Key, ward string) {
	billing := o.Role(c.account, "billing-"+ward)
	o.Days(func(day time.Time) {
		if rest(day.Add(12 * time.Hour)) {
			return
		}
		for _, clerk := range c.clerks {
			if o.Rand.Float64() < 0.2 { // leave, or a day without files
				continue
			}
			for range o.Poisson(4) {
				at := day.Add(time.Duration((7 + 7.5*o.Rand.Float64()) * float64(time.Hour)))
				o.Do(at, clerk, "Decrypt", key, o.Rand.IntN(900))
			}
		}
		cases := 20.0
		if day.Day() >= 28 || day.Day() <= 3 {
			cases = 90
		}
		for n := range o.Poisson(cases * o.LogNormal(0.2)) {
			at := day.Add(17*time.Hour + time.Duration(n)*25*time.Second)
			o.Do(o.Within(at, 20*time.Second), billing, "Decrypt", key, o.Rand.IntN(900))
		}
	})
}

// research makes the calls of studies: a researcher exports for some days, then writes for
// weeks.
func (o *Org) research(c *campus, key *Key) {
	for _, who := range c.researchers {
		busy := 0
		o.Days(func(day time.Time) {
			if busy--; busy < 0 && o.Rand.Float64() < 0.12 {
				busy = 2 + o.Rand.IntN(5)
			}
			if busy < 0 || rest(day.Add(12*time.Hour)) && o.Rand.Float64() < 0.8 {
				return
			}
			at := day.Add(time.Duration((8 + 9*o.Rand.Float64()) * float64(time.Hour)))
			for range min(int(12*o.Pareto(1.3)), 150) {
				o.Do(at, who, "Decrypt", key, o.Rand.IntN(3000))
				at = o.Within(at, 90*time.Second)
			}
		})
	}
	o.Days(func(day time.Time) {
		for n := range 8 {
			o.Do(o.Within(day.Add(time.Duration(3*n)*time.Hour), time.Minute), c.system, "Decrypt", key, n)
		}
	})
}

// nightly makes the calls of AWS Backup.
func (o *Org) nightly(c *campus, key *Key) {
	begin := o.Within(o.Start.Add(30*time.Minute), 90*time.Minute).Sub(o.Start)
	o.Days(func(day time.Time) {
		at := o.Within(day.Add(begin), 6*time.Minute)
		o.Do(at, c.backup, "DescribeKey", key, -1)
		o.Do(at.Add(2*time.Second), c.backup, "CreateGrant", key, -1).Extra =
			`"granteePrincipal":"backup.eu-central-1.amazonaws.com","operations":["Decrypt","GenerateDataKey"]`
		if day.Weekday() == time.Sunday { // the full backup
			for n := range 12 {
				o.Do(o.Within(at, 40*time.Minute), c.backup, "GenerateDataKey", key, n)
			}
		}
	})
}

// patchNights restarts every server of a campus on one night in two weeks: each volume
// needs its data key again.
func (o *Org) patchNights(campuses []*campus, keys []*Key) {
	for n, c := range campuses {
		for day := o.Start.AddDate(0, 0, 2+n); day.Before(o.End); day = day.AddDate(0, 0, 14) {
			for _, key := range keys {
				if key.Account != c.account {
					continue
				}
				at := o.Within(day.Add(22*time.Hour), 2*time.Hour)
				for range 1 + o.Rand.IntN(3) {
					o.Do(at, c.ec2, "CreateGrant", key, -1).Extra =
						`"granteePrincipal":` + Text("arn:aws:sts::"+c.account+":assumed-role/aws:ec2-infrastructure/"+c.ec2.Session) +
							`,"operations":["Decrypt"]`
					o.Do(at.Add(time.Second), c.ec2, "Decrypt", key, 1)
					at = o.Within(at, 4*time.Minute)
				}
			}
		}
	}
}

// clinicSurprises makes the calls of an audit of two days, of a restore, of a portal that a
// ward gets, and of administrators who break the glass at night.
func (o *Org) clinicSurprises(campuses []*campus, keys []*Key) {
	days := int(o.End.Sub(o.Start).Hours() / 24)
	some := func(hour int) time.Time {
		return o.Start.AddDate(0, 0, o.Rand.IntN(days)).Add(time.Duration(hour) * time.Hour)
	}
	for _, c := range campuses {
		auditor, audit := o.Person(c.account, "dpo.adler", "SecurityAudit"), some(8)
		for i, key := range keys {
			if key.Account != c.account {
				continue
			}
			at := o.Within(audit.AddDate(0, 0, i%2), 7*time.Hour)
			for n, op := range []string{"DescribeKey", "GetKeyPolicy", "ListGrants", "GetKeyRotationStatus"} {
				o.Do(at.Add(time.Duration(n)*2*time.Second), auditor, op, key, -1)
			}
		}
		if len(c.wards) == 0 {
			continue
		}
		operator, at := o.Role(c.account, "restore-operator"), some(20)
		for range 150 + o.Rand.IntN(300) {
			o.Do(o.Within(at, 100*time.Minute), operator, "Decrypt", c.wards[0], o.Rand.IntN(220))
		}
		portal, key := o.Role(c.account, "patient-portal"), Pick(o, c.wards)
		opened := some(9)
		o.Hours(func(hour time.Time) {
			if hour.After(opened) {
				for range o.Poisson(1.5 * evening(hour)) {
					o.Do(o.Within(hour, time.Hour), portal, "Decrypt", key, o.Rand.IntN(220))
				}
			}
		})
		for n := range 3 {
			admin := o.Person(c.account, fmt.Sprintf("duty.%c", 'a'+n), "BreakGlass")
			night, key := some(23), Pick(o, c.wards)
			for range 2 + o.Rand.IntN(6) {
				night = o.Within(night, 5*time.Minute)
				o.Do(night, admin, "Decrypt", key, o.Rand.IntN(220))
			}
		}
	}
}
