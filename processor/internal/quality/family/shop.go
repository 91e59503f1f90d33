package family

import (
	"fmt"
	"math"
	"time"
)

var shop = Family{
	Name: "shop",
	About: "Visits excite further visits, with sales of an hour. Few keys are hubs that many long-lived roles share. " +
		"Autoscaled nodes are sessions of one role. Evenings and weekends are busiest.",
	Build: buildShop,
}

func buildShop(o *Org) {
	var services []*Principal
	for i := range o.Keys {
		account := o.Account(i % 3)
		services = append(services, o.Role(account, fmt.Sprintf("shop/%s-service", name(i))))
	}
	cloudTrail := o.Service(o.Account(0), "cloudtrail.amazonaws.com")
	for i := range o.Keys {
		account := o.Account(i % 3)
		context, prefix := "aws:s3:arn", fmt.Sprintf("arn:aws:s3:::shop-%s/item/", name(i))
		if i%4 == 1 {
			context, prefix = "SecretARN", fmt.Sprintf("arn:aws:secretsmanager:eu-west-1:%s:secret:%s/", account, name(i))
		}
		key := o.Key(account, "eu-west-1", context, prefix)
		users := 1 + int(o.Pareto(1.1))
		for u := range min(users, 25) {
			who := services[(i+3*u*u)%len(services)]
			o.visits(who, key, math.Min(1.5*o.Pareto(1.1), 40)/float64(1+u), i%4 == 1)
		}
		if i == 0 {
			o.Hours(func(hour time.Time) {
				for range 12 {
					o.Do(o.Within(hour, time.Hour), cloudTrail, "GenerateDataKey", key, o.Rand.IntN(50))
				}
			})
		}
	}
}

// visits makes calls of self-exciting visits: each begets a third of another soon after.
func (o *Org) visits(who *Principal, key *Key, perHour float64, secrets bool) {
	objects := 3 + o.Rand.IntN(400)
	if secrets {
		objects = 1 + o.Rand.IntN(4)
	}
	popular := o.LogNormal(0.3)
	o.Hours(func(hour time.Time) {
		if hour.Hour() == 0 {
			popular = 0.7*popular + 0.3*o.LogNormal(0.5)
		}
		rate := perHour * popular * evening(hour)
		if o.Rand.Float64() < 0.002 { // a sale
			rate *= 4
		}
		for range o.Poisson(rate * 2 / 3) {
			for at := o.Within(hour, time.Hour); ; at = o.Within(at, 4*time.Minute) {
				op := "Decrypt"
				if !secrets && o.Rand.Float64() < 0.2 {
					op = "GenerateDataKey"
				}
				o.Do(at, who, op, key, o.Rand.IntN(objects))
				if o.Rand.Float64() > 1./3 {
					break
				}
			}
		}
	})
}

// evening is the course of a day on which people shop.
func evening(hour time.Time) float64 {
	f := 0.55 + 0.5*math.Cos(2*math.Pi*(float64(hour.Hour())-19.5)/24)
	if hour.Weekday() == time.Saturday || hour.Weekday() == time.Sunday {
		f *= 1.4
	}
	return f
}

var nouns = []string{
	"cart", "stock", "price", "order", "ship", "refund", "rate", "login", "image", "mail", "audit", "tax",
}

// name names the nth thing.
func name(n int) string {
	s := nouns[n%len(nouns)]
	for n /= len(nouns); n > 0; n /= len(nouns) {
		s += "-" + nouns[n%len(nouns)]
	}
	return s
}
