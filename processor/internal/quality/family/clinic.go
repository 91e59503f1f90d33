package family

import (
	"fmt"
	"math"
	"time"
)

var clinic = Family{
	Name: "clinic",
	About: "A hospital trust: charts are opened in clusters at ward rounds and shift handovers, day and night; " +
		"emergencies peak on weekend nights, and influenza raises everything for weeks. " +
		"Each ward has its own key and role, the hospital information system reads them all, and interfaces poll " +
		"with IAM users that live for years. Clerks keep office hours, researchers come and go, and patch nights " +
		"restart every server.",
	Unseen: true,
	Build:  buildClinic,
}

// campus is one hospital of the trust, in its own account.
type campus struct {
	account               string
	system, pacs, reading *Principal // the information system, the image archive, the radiologists' viewer
	mirth, backup, ec2    *Principal // the interface engine, AWS Backup's role, instances that start
	clerks, researchers   []*Principal
	outage                time.Time // the image archive is down for three hours
	wards                 []*Key
}

const berlin = time.Hour // the trust's offset from UTC in winter

func buildClinic(o *Org) {
	var campuses []*campus
	for n := range 3 {
		campuses = append(campuses, o.campus(n))
	}
	var keys []*Key
	for i := range o.Keys {
		c := campuses[i%len(campuses)]
		ward := fmt.Sprintf("%c%02d", 'a'+i%7, i)
		key := o.Key(c.account, "eu-central-1", "aws:s3:arn", "arn:aws:s3:::klinik-"+ward+"/doc/")
		keys = append(keys, key)
		switch i % 20 {
		case 2, 9, 16:
			o.images(c, key)
		case 4, 11, 18:
			o.interfaces(c, key, ward)
		case 6, 13:
			o.office(c, key, ward)
		case 7:
			o.research(c, key)
		default:
			c.wards = append(c.wards, key)
			o.ward(c, key, ward, i%20 == 0)
		}
		o.nightly(c, key)
	}
	o.patchNights(campuses, keys)
	o.clinicSurprises(campuses, keys)
}

func (o *Org) campus(n int) *campus {
	account := o.Account(70 + n)
	c := &campus{account: account, system: o.Role(account, "his-core"), pacs: o.Role(account, "pacs-archive"),
		reading: o.Role(account, "pacs-viewer"), mirth: o.User(account, "svc-mirth"),
		backup: o.Role(account, "AWSBackupDefaultServiceRole"), ec2: o.Role(account, "klinik-server")}
	c.backup.Session = "AWSBackup-AWSBackupDefaultServiceRole"
	c.mirth.Agent = "aws-sdk-java/1.11.563 Windows_Server_2019/10.0 OpenJDK_64-Bit_Server_VM/25.212-b04"
	for k := range 4 {
		c.clerks = append(c.clerks, o.Person(account, fmt.Sprintf("clerk.%c", 'a'+k), "Verwaltung"))
		c.researchers = append(c.researchers, o.Person(account, fmt.Sprintf("study.%c", 'a'+k), "Research"))
	}
	day := o.Rand.IntN(int(o.End.Sub(o.Start).Hours() / 24))
	c.outage = o.Start.AddDate(0, 0, day).Add(time.Duration(6+o.Rand.IntN(8)) * time.Hour)
	return c
}

// influenza is the winter's wave: half as many patients again at its top, in the third week.
func (o *Org) influenza(at time.Time) float64 {
	x := (at.Sub(o.Start).Hours()/24 - 19) / 8
	return 1 + 0.5*math.Exp(-x*x)
}

// shift is the course of a ward's day: rounds in the morning, handovers at 6, 14 and 22.
func shift(hour time.Time) float64 {
	local := hour.Add(berlin)
	f := [24]float64{.3, .25, .2, .2, .3, .7, 1.6, 1.4, 2.2, 2, 1.5, 1.2, 1, 1.2, 1.7, 1.1, 1, .9, .8, .8, .7, .9, 1.2, .5}
	if rest(local) && local.Hour() > 7 && local.Hour() < 17 {
		return f[local.Hour()] * 0.6
	}
	return f[local.Hour()]
}

// rush is the course of an emergency room's week.
func rush(hour time.Time) float64 {
	local := hour.Add(berlin)
	f := 0.9 + 0.6*math.Cos(2*math.Pi*(float64(local.Hour())-18)/24)
	if night := local.Add(-6 * time.Hour).Weekday(); night == time.Friday || night == time.Saturday {
		if local.Hour() >= 20 || local.Hour() < 4 {
			f *= 1.8
		}
	}
	return f
}

// rest reports whether a local time is on a weekend or on Epiphany.
func rest(local time.Time) bool {
	return local.Weekday() == time.Saturday || local.Weekday() == time.Sunday ||
		local.Month() == time.January && local.Day() == 6
}

// ward makes the calls of a ward: the beds fill and empty from day to day, and a person who
// opens a chart reads some documents within two minutes.
func (o *Org) ward(c *campus, key *Key, ward string, emergency bool) {
	who := o.Role(c.account, "ward-"+ward+"-charts")
	beds, filled := (0.25+0.9*o.Rand.Float64())*1.1, 0.8
	documents := 200.0
	o.Hours(func(hour time.Time) {
		if hour.Hour() == 10 {
			filled = min(1.15, max(0.4, filled+0.2*(0.8-filled)+0.08*o.Rand.NormFloat64()))
		}
		rate := beds * filled * o.influenza(hour)
		if emergency {
			rate *= 2 * rush(hour)
		} else {
			rate *= shift(hour)
		}
		for range o.Poisson(rate) {
			at := o.Within(hour, time.Hour)
			reader := who
			if o.Rand.Float64() < 0.25 {
				reader = c.system
			}
			first := o.Rand.IntN(int(documents))
			for n := 0; n == 0 || o.Rand.Float64() < 0.5; n++ {
				o.Do(at, reader, "Decrypt", key, max(0, first-n))
				at = o.Within(at, 40*time.Second)
			}
			if o.Rand.Float64() < 0.35 {
				documents++
				o.Do(at, who, "GenerateDataKey", key, int(documents))
			}
		}
	})
}

// images makes the calls of a modality: studies by day that the viewer reads later, and the
// studies of tomorrow's patients that the archive fetches in the evening.
func (o *Org) images(c *campus, key *Key) {
	daily, next := 6+10*o.Rand.Float64(), 500
	late := func(at time.Time) time.Time { // the backlog of an outage drains in half an hour
		if up := c.outage.Add(3 * time.Hour); !at.Before(c.outage) && at.Before(up) {
			return o.Within(up, 30*time.Minute)
		}
		return at
	}
	o.Days(func(day time.Time) {
		studies := daily * o.influenza(day)
		if rest(day.Add(12 * time.Hour)) {
			studies *= 0.25
		}
		for range o.Poisson(studies) {
			at := day.Add(time.Duration((11.5 + 3*o.Rand.NormFloat64()) * float64(time.Hour)))
			series := 1 + int(2*o.LogNormal(0.8))
			for n := range min(series, 40) {
				o.Do(late(o.Within(at, 5*time.Minute)), c.pacs, "GenerateDataKey", key, next+n)
			}
			read := late(at.Add(time.Duration(25*o.LogNormal(0.7)) * time.Minute))
			for n := range min(series, 8) {
				o.Do(o.Within(read, 3*time.Minute), c.reading, "Decrypt", key, next+n)
			}
			next += series
		}
		if !rest(day.Add(36 * time.Hour)) {
			for range o.Poisson(daily) {
				o.Do(o.Within(day.Add(18*time.Hour), 50*time.Minute), c.pacs, "Decrypt", key, o.Rand.IntN(next))
			}
		}
	})
}

// interfaces makes the calls of interfaces that read their passwords by a timer. An interface
// whose partner is down connects again every 30 seconds.
func (o *Org) interfaces(c *campus, key *Key, ward string) {
	key.Context = "SecretARN"
	key.Prefix = "arn:aws:secretsmanager:eu-central-1:" + c.account + ":secret:hl7/" + ward + "-"
	every := []time.Duration{10, 15, 15, 30, 60}[o.Rand.IntN(5)] * time.Minute
	for at := o.Within(o.Start, every); at.Before(o.End); at = at.Add(every) {
		o.Do(at.Add(time.Duration(o.Rand.IntN(4))*time.Second), c.mirth, "Decrypt", key, 0)
		if o.Rand.Float64() < 0.0004 {
			for n := range 10 + int(20*o.LogNormal(0.8)) {
				o.Do(at.Add(time.Duration(30*(n+1))*time.Second), c.mirth, "Decrypt", key, 0)
			}
		}
	}
}
