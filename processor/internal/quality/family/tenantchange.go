package family

import "time"

// signUpAndLeave makes the calls of a tenant's first and last days.
func (o *Org) signUpAndLeave(c *cell, t *tenant) {
	if t.signedUp {
		at := t.first
		o.Do(at, c.lifecycle, "CreateKey", nil, -1).Extra = `"keySpec":"SYMMETRIC_DEFAULT","origin":"AWS_KMS"`
		o.Do(at.Add(time.Second), c.lifecycle, "CreateAlias", t.key, -1).Extra =
			`"aliasName":` + Text("alias/"+t.key.Prefix[:7])
		o.Do(at.Add(2*time.Second), c.lifecycle, "EnableKeyRotation", t.key, -1)
		for n := range 12 { // the data keys of its stores
			o.Do(at.Add(time.Duration(3+n)*time.Second), c.lifecycle, "GenerateDataKey", t.key, n)
		}
	}
	if t.last.Before(o.End) {
		o.Do(t.last, c.lifecycle, "DisableKey", t.key, -1)
		o.Do(t.last.AddDate(0, 0, 7), c.lifecycle, "ScheduleKeyDeletion", t.key, -1).Extra = `"pendingWindowInDays":30`
	}
}

// uses reports whether a tenant is a customer at a time.
func (t *tenant) uses(at time.Time) bool { return !at.Before(t.first) && at.Before(t.last) }

// rollouts makes the calls of new pods with empty caches. One rollout in fifteen fails: its
// pods restart with growing pauses until an engineer rolls back.
func (o *Org) rollouts(c *cell) {
	for _, p := range c.pods {
		for i, at := range p.since[1:] {
			pods := p.sessions[i+1]
			cold := func(from time.Time, part float64) {
				for _, t := range c.tenants {
					for range 2 {
						if call := o.Within(from, 2*time.Minute); t.uses(call) && o.Rand.Float64() < part {
							o.Do(call, Pick(o, pods), "Decrypt", t.key, o.Rand.IntN(12))
						}
					}
				}
			}
			cold(at, 0.8)
			if o.Rand.Float64() < 1./15 {
				pause := 10 * time.Second
				for range 6 + o.Rand.IntN(12) {
					at, pause = at.Add(30*time.Second+pause), min(2*pause, 5*time.Minute)
					cold(at, 0.5)
				}
			}
		}
	}
}

// support makes the calls of supporters, who look at any tenant in working hours.
func (o *Org) support(c *cell) {
	o.Days(func(day time.Time) {
		if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			return
		}
		for range o.Poisson(2) {
			t, at := Pick(o, c.tenants), o.Within(day.Add(14*time.Hour), 9*time.Hour)
			for n := 0; t.uses(at) && (n == 0 || o.Rand.Float64() < 0.6); n++ {
				o.Do(at, c.support, "Decrypt", t.key, o.Rand.IntN(12))
				at = o.Within(at, 4*time.Minute)
			}
		}
	})
}

// plan makes the calls of one run of Terraform over a cell.
func (o *Org) plan(c *cell, at time.Time, change string) {
	o.Do(at, c.terraform, "ListAliases", nil, -1)
	for _, t := range c.tenants {
		if !t.uses(at) {
			continue
		}
		for _, op := range []string{"DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags"} {
			o.Do(o.Within(at, 12*time.Second), c.terraform, op, t.key, -1)
		}
		if change != "" {
			o.Do(at.Add(15*time.Second), c.terraform, change, t.key, -1)
			at = at.Add(2 * time.Second)
		}
	}
}

// plans makes the calls of Terraform: a check of every third cell each night, and an apply
// over all cells in a random week, one wave a day.
func (o *Org) plans(cells []*cell) {
	o.Days(func(day time.Time) {
		for n, c := range cells {
			if (int(day.Unix()/86400)+n)%3 == 0 {
				o.plan(c, o.Within(day.Add(10*time.Hour), 20*time.Minute), "")
			}
		}
	})
	week := o.Within(o.Start, o.End.Sub(o.Start)).Truncate(24 * time.Hour)
	change := Pick(o, []string{"PutKeyPolicy", "TagResource", "EnableKeyRotation"})
	for n, c := range cells {
		o.plan(c, o.Within(week.AddDate(0, 0, n%4).Add(16*time.Hour), time.Hour), change)
	}
}

// tenantSurprises makes the calls of a new search index in each cell, of an announced
// penetration test, of an audit, and of a drill that moves one cell's api for four hours.
func (o *Org) tenantSurprises(cells []*cell) {
	days := int(o.End.Sub(o.Start).Hours() / 24)
	first := o.Start.AddDate(0, 0, o.Rand.IntN(days))
	for n, c := range cells {
		search := c.pods[3]
		night := first.AddDate(0, 0, n/4).Add(5 * time.Hour)
		for _, t := range c.tenants {
			for range min(int(25*o.LogNormal(0.9)), 300) {
				if at := o.Within(night, 5*time.Hour); t.uses(at) {
					o.Do(at, o.pod(search, at), "Decrypt", t.key, o.Rand.IntN(12))
				}
			}
		}
	}
	c, other := cells[0], cells[len(cells)-1]
	test := o.Start.AddDate(0, 0, o.Rand.IntN(days)).Add(9 * time.Hour)
	for range 30 {
		at := o.Within(test, 8*time.Hour)
		call := o.Do(at, o.pod(c.pods[0], at), "Decrypt", Pick(o, other.tenants).key, o.Rand.IntN(12))
		call.IP, call.Error = "198.51.100.24", "AccessDenied"
	}
	audit := o.Start.AddDate(0, 0, o.Rand.IntN(days)).Add(15 * time.Hour)
	for n, c := range cells {
		auditor := o.Person(c.account, "vera.blum", "ReadOnlyAccess")
		for range 8 { // a sample
			at, t := o.Within(audit.Add(time.Duration(n)*10*time.Minute), 10*time.Minute), Pick(o, c.tenants)
			o.Do(at, auditor, "GetKeyRotationStatus", t.key, -1)
			o.Do(at.Add(5*time.Second), auditor, "GetKeyPolicy", t.key, -1)
		}
	}
	drill := o.Start.AddDate(0, 0, o.Rand.IntN(days)).Add(17 * time.Hour)
	moved := Pick(o, cells)
	for _, t := range moved.tenants {
		for range o.Poisson(10) {
			if at := o.Within(drill, 4*time.Hour); t.uses(at) {
				o.Do(at, o.pod(moved.pods[0], at), "Decrypt", t.key, o.Rand.IntN(12)).IP = "10.240.7.19"
			}
		}
	}
}
