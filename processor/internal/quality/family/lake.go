package family

import (
	"fmt"
	"math"
	"time"
)

var lake = Family{
	Name: "lake",
	About: "A data lake: jobs run by schedule once their inputs are there, so one late job makes all after it late, " +
		"and calls follow the number of files, which is lognormal and grows. Domains write and read across accounts " +
		"with keys of a central one. Glue roles live for years, EMR clusters for one run, and analysts query in " +
		"sessions on working days. Full refreshes run on Sundays, reports on the first days of a month.",
	Unseen: true,
	Build:  buildLake,
}

const lakeDomains = 5

// dataset is a table with its own key, fed by others.
type dataset struct {
	name    string
	key     *Key
	writer  *Principal
	files   float64 // of a usual day
	inputs  []*dataset
	done    []time.Time // when each day's run ended
	cluster bool        // EMR makes it, with a session for each run
}

// warehouse is the lake under construction.
type warehouse struct {
	domains             [lakeDomains]string // accounts
	central             string
	raw, clean, reports []*dataset
	analysts            []*Principal
	days                int
}

func buildLake(o *Org) {
	w := &warehouse{central: o.Account(130), days: int(o.End.Sub(o.Start).Hours() / 24)}
	for d := range w.domains {
		w.domains[d] = o.Account(131 + d)
	}
	for n := range 3 + o.Keys/20 {
		w.analysts = append(w.analysts, o.Person(w.central, fmt.Sprintf("analyst.%c%d", 'a'+n%26, n), "LakeAnalyst"))
	}
	for i := range o.Keys {
		switch i % 5 {
		case 0, 2:
			w.raw = append(w.raw, o.rawData(w, i))
		case 1, 3:
			w.clean = append(w.clean, o.cleanData(w, i))
		default:
			w.reports = append(w.reports, o.reportData(w, i))
		}
	}
	o.queries(w)
	o.lakeSurprises(w)
}

func (o *Org) dataset(w *warehouse, layer string, i int) *dataset {
	d := &dataset{name: fmt.Sprintf("%s_%s", layer, name(i))}
	d.files = math.Min(18*o.LogNormal(0.9), 200)
	d.key = o.Key(w.central, "us-east-2", "aws:s3:arn", "arn:aws:s3:::lake-"+layer+"/"+name(i)+"/part-")
	return d
}

// rawData makes a table that a domain's stream writes: a file is full after a number of
// events or after a time, so by night it is the timer that writes.
func (o *Org) rawData(w *warehouse, i int) *dataset {
	d := o.dataset(w, "raw", i)
	d.writer = o.Role(w.domains[i%lakeDomains], "firehose-"+name(i))
	d.writer.Session = "AWSFirehoseToS3"
	flush := []float64{0.25, 0.5, 1, 1}[o.Rand.IntN(4)] // hours
	peak, file := float64(12+o.Rand.IntN(10)), 0
	trend := o.LogNormal(0.25) - 1
	gone := o.Within(o.Start, o.End.Sub(o.Start)) // the producer is down for hours then
	down := time.Duration(o.Rand.Float64()*9) * time.Hour
	o.Hours(func(hour time.Time) {
		if !hour.Before(gone) && hour.Before(gone.Add(down)) {
			return
		}
		grown := 1 + trend*hour.Sub(o.Start).Hours()/840
		full := d.files / 10 * grown * (1 + math.Cos(2*math.Pi*(float64(hour.Hour())-peak)/24))
		if hour.Sub(gone.Add(down)).Abs() < time.Hour { // its backlog comes
			full += full * down.Hours() / 2
		}
		n := max(int(1/flush), min(o.Poisson(full), 400))
		if o.Rand.Float64() < 0.08 {
			n = 0
		}
		for k := range n {
			at := hour.Add(time.Duration((float64(k) + o.Rand.Float64()*0.4) / float64(n) * float64(time.Hour)))
			o.Do(at, d.writer, "GenerateDataKey", d.key, file)
			file++
		}
	})
	for day := range w.days {
		d.done = append(d.done, o.Start.AddDate(0, 0, day+1))
	}
	return d
}

// cleanData makes a table that Glue or EMR makes every night of some raw ones, and every
// three hours of new files.
func (o *Org) cleanData(w *warehouse, i int) *dataset {
	d := o.dataset(w, "clean", i)
	for range 1 + o.Rand.IntN(3) {
		d.inputs = append(d.inputs, Pick(o, w.raw))
	}
	d.cluster = i%10 == 3
	d.writer = o.Role(w.central, "glue-"+d.name)
	d.writer.Session, d.writer.Agent = "GlueJobRunnerSession", "ElasticMapReduce/1.0.0 emrfs/s3n"
	o.nights(w, d, time.Duration(20+o.Rand.IntN(160))*time.Minute)
	late := o.Within(o.Start, 3*time.Hour).Sub(o.Start)
	for at := o.Start.Add(late); !d.cluster && at.Before(o.End); at = at.Add(3 * time.Hour) {
		for range o.Poisson(3) {
			o.Do(o.Within(at, 7*time.Minute), d.writer, "Decrypt", Pick(o, d.inputs).key, o.Rand.IntN(5000))
		}
		o.Do(o.Within(at.Add(7*time.Minute), time.Minute), d.writer, "GenerateDataKey", d.key, int(at.Unix()/10800)%9000)
	}
	return d
}

// reportData makes a table of a domain, in its account: it reads clean ones of the central account.
func (o *Org) reportData(w *warehouse, i int) *dataset {
	d := o.dataset(w, "report", i)
	account := w.domains[i%lakeDomains]
	d.key = o.Key(account, "us-east-2", "aws:s3:arn", "arn:aws:s3:::"+d.name+"/part-")
	d.writer = o.Role(account, "redshift-"+d.name)
	d.writer.Session = "RedshiftIamRoleSession"
	for range 2 + o.Rand.IntN(3) {
		d.inputs = append(d.inputs, Pick(o, w.clean))
	}
	o.nights(w, d, time.Duration(90+o.Rand.IntN(150))*time.Minute)
	board := o.Role(account, "quicksight-"+d.name)
	readers := 4 * o.LogNormal(0.6)
	o.Hours(func(hour time.Time) {
		rate := readers / 2 * office(hour)
		if hour.Day() <= 3 {
			rate *= 2.5
		}
		for range o.Poisson(rate) {
			o.Do(o.Within(hour, time.Hour), board, "Decrypt", d.key, o.Rand.IntN(60))
		}
	})
	return d
}

// office is the course of an analyst's week in New York.
func office(hour time.Time) float64 {
	local := hour.Add(-5 * time.Hour)
	switch h := local.Hour(); {
	case local.Weekday() == time.Saturday || local.Weekday() == time.Sunday:
		return 0.05
	case h >= 9 && h < 18:
		return 1
	case h == 8 || h >= 18 && h < 22:
		return 0.25
	}
	return 0.02
}

// nights makes the runs of a job: it starts at its time or after its last input, and
// retries up to three times when it fails.
func (o *Org) nights(w *warehouse, d *dataset, planned time.Duration) {
	for day := range w.days {
		midnight := o.Start.AddDate(0, 0, day)
		at := o.Within(midnight.Add(planned), 4*time.Minute)
		for _, in := range d.inputs {
			if day > 0 && in.done[day-1].After(at) {
				at = in.done[day-1].Add(time.Minute)
			}
			if len(in.inputs) > 0 && len(in.done) > day && in.done[day].After(at) {
				at = in.done[day].Add(time.Minute)
			}
		}
		scale := o.LogNormal(0.2)
		if midnight.Weekday() == time.Sunday { // the full refresh
			scale *= 3
		}
		for range 3 {
			if o.Rand.Float64() > 0.015 {
				break
			}
			at = o.run(d, at, scale*o.Rand.Float64()).Add(5 * time.Minute)
		}
		if o.Rand.Float64() < 0.02 { // waits for capacity
			at = o.Within(at, 6*time.Hour)
		}
		d.done = append(d.done, o.run(d, at, scale))
	}
}

// run makes one run of a job and returns its end: it reads its inputs' files, then writes.
func (o *Org) run(d *dataset, at time.Time, scale float64) time.Time {
	who := d.writer
	if d.cluster {
		who = o.Role(d.key.Account, "emr-"+d.name)
		who.Agent = d.writer.Agent
	}
	length := time.Duration((4 + 0.25*d.files*scale) * float64(time.Minute))
	for _, in := range d.inputs {
		for range 1 + int(d.files*scale/float64(len(d.inputs))) {
			o.Do(o.Within(at, length*2/3), who, "Decrypt", in.key, o.Rand.IntN(5000))
		}
	}
	for n := range 1 + int(d.files*scale/4) {
		o.Do(o.Within(at.Add(length*2/3), length/3), who, "GenerateDataKey", d.key, n)
	}
	return at.Add(length)
}
