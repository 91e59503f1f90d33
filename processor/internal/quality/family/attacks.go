package family

import (
	"fmt"
	"time"
)

// Attacks lists the attacks. Each family meets each of them.
var Attacks = append([]Attack{
	{Name: "burst", About: "A role reads a hundred objects more than usual in ten minutes.", Plant: burst},
	{Name: "fifty_minutes", About: "A role that makes a few calls an hour makes 100 in 50 minutes.", Plant: fiftyMinutes},
	{Name: "six_hours", About: "A role that makes a few calls an hour makes 38 in every five minutes for six hours.", Plant: sixHours},
	{Name: "ramp", About: "A role's calls grow by a quarter every half hour, to some twenty times the usual number.", Plant: ramp},
	{Name: "three_days", About: "A role makes four times its usual calls for three days and nights, each on another object.", Plant: threeDays},
	{Name: "night", About: "A role makes 40 calls in 20 minutes at an hour at which it hardly ever calls.", Plant: night},
	{Name: "new_role_reads", About: "A role made for it reads a sparsely used key's data for two hours.", Plant: newRoleReads},
	{Name: "stolen_credentials", About: "A role's credentials are used from another network with another program.", Plant: stolen},
	{Name: "stranger", About: "An account outside the organization decrypts with one of its keys.", Plant: stranger},
	{Name: "person_looks", About: "A person asks about a key of few users, then decrypts with it for the first time.", Plant: personLooks},
	{Name: "probing", About: "A role is refused on six keys that it never used.", Plant: probing},
	{Name: "ransom", About: "A role generates data keys under a key outside the organization.", Plant: ransom},
	{Name: "destruction", About: "A person schedules the deletion of four keys; one attempt is refused.", Plant: destruction},
	{Name: "backdoor", About: "A person gives an outside account the use of a key by a grant.", Plant: backdoor},
	{Name: "enumeration", About: "A role asks for the policies and grants of 25 keys in four minutes.", Plant: enumeration},
	{Name: "silence", About: "A key in steady use has no calls for a day.", Plant: silence},
}, reported...)

// fresh numbers objects that nobody touched before.
func fresh(h *Habit) func(i int) int { return func(i int) int { return h.Objects + 1000 + i } }

// old numbers objects that the habit has.
func (o *Org) old(h *Habit) func(i int) int {
	return func(int) int { return o.Rand.IntN(max(1, h.Objects+1)) }
}

func burst(o *Org, a *Act) bool {
	h := o.Choose(Near(6))
	if h == nil {
		return false
	}
	n := 80 + o.Rand.IntN(60)
	a.Note = fmt.Sprintf("%d calls in ten minutes where %.1f an hour are usual", n, h.PerHour)
	a.Spread(a.Start, 10*time.Minute, n, h.Who, h.Op, h.Key, fresh(h))
	return true
}

func fiftyMinutes(o *Org, a *Act) bool {
	h := o.Choose(Near(3))
	if h == nil {
		return false
	}
	a.Note = fmt.Sprintf("100 calls in 50 minutes where %.1f an hour are usual", h.PerHour)
	a.Spread(a.Start, 50*time.Minute, 100, h.Who, h.Op, h.Key, o.old(h))
	return true
}

func sixHours(o *Org, a *Act) bool {
	h := o.Choose(Near(2))
	if h == nil {
		return false
	}
	a.Note = fmt.Sprintf("38 calls in every five minutes for six hours where %.1f an hour are usual", h.PerHour)
	a.Spread(a.Start, 6*time.Hour, 6*12*38, h.Who, h.Op, h.Key, fresh(h))
	return true
}

func ramp(o *Org, a *Act) bool {
	h := o.Choose(Near(10))
	if h == nil {
		return false
	}
	rate := h.PerHour / 2 // of half an hour
	for k := range 14 {
		rate *= 1.25
		from := a.Start.Add(time.Duration(k) * 30 * time.Minute)
		a.Spread(from, 30*time.Minute, max(1, int(rate)), h.Who, h.Op, h.Key, o.old(h))
	}
	a.Note = fmt.Sprintf("calls grow from %.1f to %.0f an hour in seven hours", h.PerHour, 2*rate)
	return true
}

func threeDays(o *Org, a *Act) bool {
	h := o.Choose(Near(8))
	if h == nil {
		return false
	}
	n := max(300, int(4*72*h.PerHour))
	a.Note = fmt.Sprintf("%d calls more in three days where %.1f an hour are usual", n, h.PerHour)
	a.Spread(a.Start, 72*time.Hour, n, h.Who, h.Op, h.Key, fresh(h))
	return true
}

func night(o *Org, a *Act) bool {
	hour := -1
	h := o.Choose(func(h *Habit) bool {
		if h.Who.Kind != Role || h.Days < 8 || h.PerHour > 15 {
			return false
		}
		for k := range 24 {
			if h.Quiet(k) {
				return true
			}
		}
		return false
	})
	if h == nil {
		return false
	}
	for k := range 24 {
		if h.Quiet(k) && (hour < 0 || h.ByHour[k] < h.ByHour[hour]) {
			hour = k
		}
	}
	from := a.Start.Truncate(24 * time.Hour).Add(24*time.Hour + time.Duration(hour)*time.Hour)
	a.Note = fmt.Sprintf("40 calls in 20 minutes from %s on, an hour with %d calls in the quiet days",
		from.Format("15:04"), h.ByHour[hour])
	a.Spread(o.Within(from, 35*time.Minute), 20*time.Minute, 40, h.Who, h.Op, h.Key, o.old(h))
	return true
}

func newRoleReads(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.PerHour < 1 && h.Days >= 8 && h.Op == "Decrypt" })
	if h == nil {
		return false
	}
	who := o.Role(h.Key.Account, "maintenance-helper")
	a.Note = "a new role reads 240 objects in two hours"
	a.Spread(a.Start, 2*time.Hour, 240, who, "Decrypt", h.Key, func(i int) int { return i })
	return true
}

func stolen(o *Org, a *Act) bool {
	h := o.Choose(Near(15))
	if h == nil {
		return false
	}
	a.Note = "25 usual calls in 20 minutes from elsewhere"
	for i := range 25 {
		c := a.Do(a.Start.Add(time.Duration(i)*48*time.Second), h.Who, h.Op, h.Key, o.Rand.IntN(h.Objects+1))
		c.IP, c.Agent = "203.0.113.77", "Boto3/1.34.2 md/Botocore#1.34.2 ua/2.0 os/linux md/arch#x86_64 lang/python#3.12.1"
	}
	return true
}

func stranger(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Op == "Decrypt" && h.Days >= 8 })
	if h == nil {
		return false
	}
	who := o.Role(Stranger, "sync")
	a.Note = "an outside account decrypts 20 times in a quarter of an hour"
	a.Spread(a.Start, 15*time.Minute, 20, who, "Decrypt", h.Key, o.old(h))
	return true
}

// users counts the principals that use each KMS key in the quiet days.
func (o *Org) users() map[*Key]int {
	users := map[*Key]int{}
	for i := range o.habits {
		users[o.habits[i].Key]++
	}
	return users
}

func personLooks(o *Org, a *Act) bool {
	users := o.users()
	h := o.Choose(func(h *Habit) bool {
		return h.Op == "Decrypt" && h.Who.Kind == Role && h.Days >= 8 && users[h.Key] <= 3
	})
	if h == nil {
		return false
	}
	who := o.Person(h.Key.Account, "sam.reed", "Support")
	for i, op := range []string{"DescribeKey", "GetKeyPolicy", "ListGrants"} {
		a.Do(a.Start.Add(time.Duration(i)*20*time.Second), who, op, h.Key, -1)
	}
	a.Note = "a person asks three times about a key, then decrypts six times"
	a.Spread(a.Start.Add(time.Minute), 2*time.Minute, 6, who, "Decrypt", h.Key, o.old(h))
	return true
}

// others returns up to n random KMS keys of an account that a principal never used.
func (o *Org) others(who *Principal, n int) (keys []*Key) {
	used, seen := map[*Key]bool{}, map[*Key]bool{}
	for _, h := range o.habits {
		used[h.Key] = used[h.Key] || h.Who.arn == who.arn
	}
	for _, i := range o.Rand.Perm(len(o.habits)) {
		if k := o.habits[i].Key; k.Account == who.Account && !used[k] && !seen[k] && len(keys) < n {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

func probing(o *Org, a *Act) bool {
	h := o.Choose(Near(5))
	if h == nil {
		return false
	}
	keys := o.others(h.Who, 6)
	if len(keys) < 5 {
		return false
	}
	a.Note = fmt.Sprintf("refused on %d keys in ten minutes", len(keys))
	for i, k := range keys {
		for again := range 2 {
			at := a.Start.Add(time.Duration(100*i+9*again) * time.Second)
			a.Do(at, h.Who, "Decrypt", k, 1).Error = "AccessDenied"
		}
	}
	return true
}

func ransom(o *Org, a *Act) bool {
	h := o.Choose(Near(5))
	if h == nil {
		return false
	}
	key := o.Key(Stranger, h.Key.Region, "", "")
	a.Note = "60 data keys of an outside account in half an hour"
	a.Spread(a.Start, 30*time.Minute, 60, h.Who, "GenerateDataKey", key, func(int) int { return -1 })
	return true
}

func destruction(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Days >= 8 })
	if h == nil {
		return false
	}
	who := o.Person(h.Key.Account, "sam.reed", "Administrator")
	keys := append(o.others(who, 3), h.Key)
	a.Note = fmt.Sprintf("deletion of %d keys scheduled", len(keys))
	for i, k := range keys {
		c := a.Do(a.Start.Add(time.Duration(i)*25*time.Second), who, "ScheduleKeyDeletion", k, -1)
		if c.Extra = `"pendingWindowInDays":7`; i == 1 {
			c.Error = "AccessDenied"
		}
	}
	return true
}

func backdoor(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Days >= 8 && h.Op == "Decrypt" })
	if h == nil {
		return false
	}
	who := o.Person(h.Key.Account, "sam.reed", "Administrator")
	a.Note = "a grant for an outside account"
	a.Do(a.Start, who, "CreateGrant", h.Key, -1).Extra = `"granteePrincipal":"arn:aws:iam::` + Stranger +
		`:root","operations":["Decrypt","GenerateDataKey"]`
	return true
}

func enumeration(o *Org, a *Act) bool {
	h := o.Choose(Near(5))
	if h == nil {
		return false
	}
	keys := o.others(h.Who, 25)
	if len(keys) < 18 {
		return false
	}
	a.Note = fmt.Sprintf("asks about %d keys in four minutes", len(keys))
	for i, k := range keys {
		at := a.Start.Add(time.Duration(i) * 9 * time.Second)
		a.Do(at, h.Who, "GetKeyPolicy", k, -1)
		a.Do(at.Add(3*time.Second), h.Who, "ListGrants", k, -1)
	}
	return true
}

func silence(o *Org, a *Act) bool {
	perKey := map[*Key]float64{}
	for i := range o.habits {
		perKey[o.habits[i].Key] += o.habits[i].PerHour
	}
	h := o.Choose(func(h *Habit) bool {
		by := 0
		for k := range 24 {
			if h.Quiet(k) {
				by++
			}
		}
		return h.Who.Kind == Role && h.Days >= 13 && by < 6 && perKey[h.Key] > 6
	})
	if h == nil {
		return false
	}
	a.Note = fmt.Sprintf("no calls of a key for a day where %.0f an hour are usual", perKey[h.Key])
	a.Silence(h.Key, a.Start, a.Start.Add(24*time.Hour))
	return true
}
