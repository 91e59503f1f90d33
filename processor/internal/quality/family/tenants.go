package family

import (
	"fmt"
	"math"
	"time"
)

var tenants = Family{
	Name: "tenants",
	About: "Software as a service with one key per customer, in cells of a dozen customers that are accounts of EKS. " +
		"Pods cache data keys for five minutes, so calls follow active slots and not requests, and a rollout " +
		"empties every cache at once. A few services use all keys of their cell, each pod with its own session " +
		"until the next rollout. Customers sit in all time zones; they are signed up, grow and leave.",
	Unseen: true,
	Build:  buildTenants,
}

const cellSize = 12 // tenants

// cell is an account with the services of some tenants.
type cell struct {
	account                               string
	pods                                  []*podSet
	tenants                               []*tenant
	lifecycle, terraform, support, backup *Principal
}

// podSet is one service of a cell. The sessions of its replicas change with every rollout.
type podSet struct {
	name     string
	share    float64        // of a tenant's activity
	sessions [][]*Principal // of the replicas, for each rollout
	since    []time.Time    // when they began
}

// tenant is a customer.
type tenant struct {
	key         *Key
	size        float64 // active requests an hour in working hours
	zone        int     // offset from UTC in hours
	always      bool    // machines of the tenant call day and night
	first, last time.Time
	signedUp    bool // at first; the others are customers from the start
}

func buildTenants(o *Org) {
	var cells []*cell
	for n := range (o.Keys + cellSize - 1) / cellSize {
		c := o.cell(n)
		for i := n * cellSize; i < min(o.Keys, (n+1)*cellSize); i++ {
			c.tenants = append(c.tenants, o.tenant(c, i))
		}
		for _, t := range c.tenants {
			o.traffic(c, t)
			o.signUpAndLeave(c, t)
		}
		o.rollouts(c)
		o.support(c)
		cells = append(cells, c)
	}
	o.plans(cells)
	o.tenantSurprises(cells)
}

func (o *Org) cell(n int) *cell {
	account := o.Account(80 + n)
	c := &cell{account: account, lifecycle: o.Role(account, "tenant-lifecycle"),
		terraform: o.Role(account, "terraform-ci"),
		support:   o.Role(account, "support-console"), backup: o.Role(account, "irsa-tenant-backup")}
	c.lifecycle.Session = fmt.Sprintf("sfn-%08x", o.Rand.Uint32())
	c.terraform.Session, c.terraform.IP = "GitHubActions", fmt.Sprintf("20.57.%d.%d", n%200, 1+o.Rand.IntN(250))
	c.terraform.Agent = "APN/1.0 HashiCorp/1.0 Terraform/1.8.5 aws-sdk-go-v2/1.30.1 os/linux lang/go#1.22.5"
	c.support.Session = fmt.Sprintf("support.%c@example.com", 'a'+n%26)
	services := []string{"api", "worker", "notifier", "search", "billing", "export", "connector"}
	for i, service := range services {
		p := &podSet{name: service, share: []float64{1, 0.5, 0.25, 0.2, 0.06, 0.1, 0.4}[i]}
		every := []float64{3, 7, 5, 40, 60, 25, 45}[i] // days between rollouts
		o.deploy(c, p, every, []int{3, 2, 1, 2, 1, 1, 3}[i])
		c.pods = append(c.pods, p)
	}
	return c
}

// deploy makes the sessions of a service: rollouts are from Monday to Thursday, by day.
func (o *Org) deploy(c *cell, p *podSet, every float64, replicas int) {
	for at := o.Start; at.Before(o.End); {
		var pods []*Principal
		for range replicas {
			who := o.Role(c.account, "irsa-"+p.name)
			who.Session = fmt.Sprintf("botocore-session-%d", at.Unix()+int64(o.Rand.IntN(3600)))
			pods = append(pods, who)
		}
		p.sessions, p.since = append(p.sessions, pods), append(p.since, at)
		days := 1 + int(every*(0.3+1.2*o.Rand.Float64()))
		at = at.Truncate(24*time.Hour).AddDate(0, 0, days).Add(time.Duration(8+o.Rand.IntN(10)) * time.Hour)
		for at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || at.Weekday() == time.Friday {
			at = at.AddDate(0, 0, 1)
		}
	}
}

func (o *Org) tenant(c *cell, i int) *tenant {
	t := &tenant{size: math.Min(0.9*o.Pareto(0.9), 60), zone: Pick(o, []int{-8, -6, -5, -5, 0, 1, 1, 2, 5, 8, 9, 11}),
		always: o.Rand.Float64() < 0.2, first: o.Start, last: o.End}
	t.key = o.Key(c.account, "us-west-2", "tenant", fmt.Sprintf("t-%05d/dek-", 10000+i*37))
	switch p := o.Rand.Float64(); {
	case p < 0.12:
		t.signedUp, t.first = true, o.Within(o.Start, o.End.Sub(o.Start))
	case p < 0.16:
		t.last = o.Within(o.Start, o.End.Sub(o.Start))
	}
	return t
}

// pod returns the session of a random replica at a time.
func (o *Org) pod(p *podSet, at time.Time) *Principal {
	i := len(p.since) - 1
	for i > 0 && at.Before(p.since[i]) {
		i--
	}
	return Pick(o, p.sessions[i])
}

// active is a tenant's part of its greatest activity at an hour.
func (t *tenant) active(hour time.Time) float64 {
	if hour.Before(t.first) || !hour.Add(time.Hour).Before(t.last) {
		return 0
	}
	grown := 1.0
	if t.signedUp { // a new customer's people come over two weeks
		grown = math.Min(1, 0.1+hour.Sub(t.first).Hours()/24/14)
	}
	local := hour.Add(time.Duration(t.zone) * time.Hour)
	f, weekend := 0.02, local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
	if h := local.Hour(); h >= 8 && h < 18 && !weekend {
		f = []float64{.6, .9, 1, .95, .6, .8, 1, .95, .8, .5}[h-8]
	} else if h >= 7 && h < 23 {
		f = 0.08
	}
	if t.always {
		f = 0.5 + f/2
	}
	return f * grown
}

// traffic makes a tenant's calls: one for each slot of five minutes with a request, because
// pods cache data keys for so long.
func (o *Org) traffic(c *cell, t *tenant) {
	mood := 1.0
	o.Hours(func(hour time.Time) {
		if hour.Hour() == 0 {
			mood = math.Pow(mood, 0.6) * o.LogNormal(0.3)
		}
		active := t.active(hour) * t.size * mood
		for _, p := range c.pods {
			rate := active * p.share
			if p.name == "billing" && hour.Day() == 1 && hour.Hour() < 6 { // invoices
				rate = 10
			}
			if rate < 0.001 || active == 0 {
				continue
			}
			slot := 1 - math.Exp(-rate/12)
			for n := range 12 {
				if o.Rand.Float64() > slot {
					continue
				}
				at, op := o.Within(hour.Add(time.Duration(n)*5*time.Minute), 5*time.Minute), "Decrypt"
				if p.name != "search" && o.Rand.Float64() < 0.04 {
					op = "GenerateDataKey"
				}
				o.Do(at, o.pod(p, at), op, t.key, o.Rand.IntN(12))
			}
		}
	})
	o.Days(func(day time.Time) { // exports of the night
		if at := o.Within(day.Add(8*time.Hour), 50*time.Minute); at.After(t.first) && at.Before(t.last) {
			for n := range 3 {
				o.Do(at.Add(time.Duration(n)*time.Second), c.backup, "Decrypt", t.key, n)
			}
		}
	})
}
