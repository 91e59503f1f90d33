package family

import (
	"fmt"
	"math"
	"time"
)

// queries makes the calls of analysts: sessions of Athena on a few favourite tables, with
// heavy-tailed numbers of queries and of files in each.
func (o *Org) queries(w *warehouse) {
	for _, who := range w.analysts {
		var favourites []*dataset
		for range 3 + o.Rand.IntN(4) {
			favourites = append(favourites, Pick(o, w.clean))
		}
		o.Hours(func(hour time.Time) {
			for range o.Poisson(0.22 * office(hour)) {
				at, d := o.Within(hour, time.Hour), Pick(o, favourites)
				if o.Rand.Float64() < 0.05 { // a table that a colleague named
					d = Pick(o, w.clean)
				}
				for range min(int(o.Pareto(1.2)), 12) {
					at = o.Within(at.Add(20*time.Second), 9*time.Minute)
					for range min(int(2*o.Pareto(1.3)), 80) {
						o.Do(o.Within(at, 40*time.Second), who, "Decrypt", d.key, o.Rand.IntN(500))
					}
				}
			}
		})
	}
}

// lakeSurprises makes the calls of backfills, of a scan for personal data, of a table that
// moves to another key, of a new team, and of a night before a board meeting.
func (o *Org) lakeSurprises(w *warehouse) {
	some := func(hour int) time.Time {
		return o.Start.AddDate(0, 0, o.Rand.IntN(w.days)).Add(time.Duration(hour) * time.Hour)
	}
	for range 1 + o.Keys/60 { // a fortnight again, in one go
		d, at := Pick(o, w.clean), some(14)
		for range 14 {
			at = o.run(d, at, o.LogNormal(0.2)).Add(time.Minute)
		}
	}
	macie, scan := o.Role(w.central, "AWSServiceRoleForAmazonMacie"), some(2)
	macie.Session = "Macie"
	for _, list := range [][]*dataset{w.raw, w.clean} {
		for _, d := range list {
			for range 6 + int(math.Sqrt(d.files)) {
				o.Do(o.Within(scan, 9*time.Hour), macie, "Decrypt", d.key, o.Rand.IntN(500))
			}
		}
	}
	o.move(w, Pick(o, w.clean), some(13))
	joined := some(12)
	for n := range 3 {
		who, d := o.Person(w.central, fmt.Sprintf("marketing.%c", 'a'+n), "LakeAnalyst"), Pick(o, w.clean)
		o.Hours(func(hour time.Time) {
			if hour.After(joined) {
				for range o.Poisson(1.2 * office(hour)) {
					o.Do(o.Within(hour, time.Hour), who, "Decrypt", d.key, o.Rand.IntN(500))
				}
			}
		})
	}
	board := some(23)
	for _, who := range w.analysts[:min(len(w.analysts), 4)] {
		d := Pick(o, w.clean)
		for range 40 + o.Rand.IntN(80) {
			o.Do(o.Within(board, 5*time.Hour), who, "Decrypt", d.key, o.Rand.IntN(500))
		}
	}
}

// move makes the calls of an engineer who moves a table to a new key, of the copy of its
// files, and of its readers afterwards.
func (o *Org) move(w *warehouse, d *dataset, at time.Time) {
	engineer, copier := o.Person(w.central, "data.engineer", "LakeAdmin"), o.Role(w.central, "s3-batch-operations")
	key := o.Key(w.central, "us-east-2", "aws:s3:arn", "arn:aws:s3:::lake-moved/"+d.name+"/part-")
	o.Do(at, engineer, "CreateKey", nil, -1).Extra = `"description":` + Text("moved "+d.name)
	o.Do(at.Add(40*time.Second), engineer, "CreateAlias", key, -1).Extra = `"aliasName":` + Text("alias/"+d.name)
	o.Do(at.Add(5*time.Minute), engineer, "PutKeyPolicy", key, -1)
	for n := range 200 + o.Rand.IntN(300) {
		copied := o.Within(at.Add(20*time.Minute), 2*time.Hour)
		o.Do(copied, copier, "Decrypt", d.key, n)
		o.Do(copied.Add(time.Second), copier, "GenerateDataKey", key, n)
	}
	for day := at.AddDate(0, 0, 1); day.Before(o.End); day = day.AddDate(0, 0, 1) {
		for range o.Poisson(20) {
			o.Do(o.Within(day, 20*time.Minute), d.writer, "Decrypt", key, o.Rand.IntN(300))
		}
	}
}
