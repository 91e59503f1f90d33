package family

import (
	"fmt"
	"time"
)

// reported lists attacks after public reports on incidents in AWS.
var reported = []Attack{
	{Name: "ci_secrets", Unseen: true, Plant: ciSecrets,
		About: "A program's stolen credentials read two secrets of each key that they reach, from a rented server."},
	{Name: "slow_insider", Unseen: true, Plant: slowInsider,
		About: "A person with every right reads a dozen documents a day that their work does not need, for three days."},
	{Name: "copy_and_encrypt", Unseen: true, Plant: copyAndEncrypt,
		About: "A role tries three objects, waits an hour, then rewrites 90 under a key outside the organization."},
	{Name: "disable_key", Unseen: true, Plant: disableKey,
		About: "A role disables the key that it uses; all calls with it fail until an administrator enables it again."},
	{Name: "lambda_exfiltration", Unseen: true, Plant: lambdaExfiltration,
		About: "A new function with a usual name reads three objects every quarter of an hour for two days."},
	{Name: "leaked_key_looks", Unseen: true, Plant: leakedKeyLooks,
		About: "Six calls try out leaked credentials; three of them are refused."},
}

const rented = "192.0.2.140" // an address of a server anybody can rent

// ciSecrets follows the reports on build services whose customers' credentials leaked.
func ciSecrets(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Who.Kind == Role && h.Days >= 5 && h.Op == "Decrypt" })
	if h == nil {
		return false
	}
	seen := map[*Key]bool{h.Key: true}
	reach := []*Key{h.Key}
	for _, other := range o.habits { // its habits stand for its policy
		if other.Who.arn == h.Who.arn && !seen[other.Key] && len(reach) < 8 {
			seen[other.Key] = true
			reach = append(reach, other.Key)
		}
	}
	at := a.Start
	for _, key := range reach {
		for range 2 {
			at = at.Add(time.Duration(20+o.Rand.IntN(200)) * time.Second)
			c := a.Do(at, h.Who, "Decrypt", key, o.Rand.IntN(max(1, h.Objects+1)))
			c.IP, c.Agent = rented, "aws-cli/2.15.30 md/awscrt#0.19.19 ua/2.0 os/linux md/arch#x86_64 lang/python#3.11.8"
		}
	}
	a.Note = fmt.Sprintf("keys: %d, two secrets of each, in %s", len(reach), at.Sub(a.Start).Round(time.Minute))
	return true
}

// slowInsider follows the reports on employees who take documents before they leave.
func slowInsider(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Who.Kind == Person && h.Days >= 4 && h.Op == "Decrypt" })
	who := (*Principal)(nil)
	if h != nil {
		who = h.Who
	} else if h = o.Choose(func(h *Habit) bool { return h.Op == "Decrypt" && h.Days >= 8 }); h != nil {
		who = o.Person(h.Key.Account, "lou.hart", "PowerUserAccess")
	} else {
		return false
	}
	day := a.Start.Truncate(24*time.Hour).AddDate(0, 0, 1)
	for n := range 3 {
		from := day.AddDate(0, 0, n).Add(8 * time.Hour)
		a.Spread(from, 9*time.Hour, 10+o.Rand.IntN(5), who, "Decrypt", h.Key, o.old(h))
	}
	a.Note = fmt.Sprintf("a dozen documents a day for three days where %.2f calls an hour are usual", h.PerHour)
	return true
}

// copyAndEncrypt follows the reports on ransom in S3: CopyObject with another account's key
// decrypts with the old key and takes a data key of the new one.
func copyAndEncrypt(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool {
		return h.Who.Kind == Role && h.Days >= 8 && h.PerHour > 0.3 && h.Key.Context == "aws:s3:arn"
	})
	if h == nil {
		return false
	}
	foreign := o.Key(Stranger, h.Key.Region, h.Key.Context, h.Key.Prefix)
	rewrite := func(at time.Time, object int) {
		a.Do(at, h.Who, "Decrypt", h.Key, object)
		a.Do(at.Add(time.Second), h.Who, "GenerateDataKey", foreign, object)
	}
	for n := range 3 {
		rewrite(a.Start.Add(time.Duration(n)*time.Minute), n)
	}
	for n := range 90 {
		rewrite(o.Within(a.Start.Add(time.Hour+time.Duration(n)*2*time.Minute), 100*time.Second), n)
	}
	a.Note = "three objects, then 90 in three hours, decrypted and encrypted under another account's key"
	return true
}

// disableKey follows the reports on intruders who make data unreadable without deletion.
func disableKey(o *Org, a *Act) bool {
	users := o.users()
	h := o.Choose(func(h *Habit) bool {
		return h.Who.Kind == Role && h.Who.Account == h.Key.Account && h.Days >= 8 && h.PerHour > 0.5 && users[h.Key] <= 4
	})
	if h == nil {
		return false
	}
	a.Do(a.Start, h.Who, "DescribeKey", h.Key, -1)
	a.Do(a.Start.Add(30*time.Second), h.Who, "DisableKey", h.Key, -1)
	n := a.Fail(h.Key, a.Start.Add(31*time.Second), a.Start.Add(5*time.Hour), "DisabledException")
	a.Do(a.Start.Add(5*time.Hour), o.Person(h.Key.Account, "ann.lee", "Administrator"), "EnableKey", h.Key, -1)
	a.Note = fmt.Sprintf("a role disables a key; %d calls fail in five hours", n)
	return true
}

// lambdaExfiltration follows the reports on functions that intruders leave behind.
func lambdaExfiltration(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Op == "Decrypt" && h.Days >= 8 && h.PerHour > 0.5 })
	if h == nil {
		return false
	}
	who := o.Role(h.Key.Account, "log-archive-role-x2k9")
	who.Session, who.IP = "log-archive", "3.71.20.9"
	who.Agent = "Boto3/1.34.145 md/Botocore#1.34.145 os/linux#5.10.219 exec-env/AWS_Lambda_python3.12"
	function := Text("arn:aws:lambda:" + h.Key.Region + ":" + h.Key.Account + ":function:log-archive")
	a.Do(a.Start, who, "Decrypt", h.Key, -1).Extra = `"encryptionContext":{"aws:lambda:FunctionArn":` + function + `}`
	for n := range 2 * 96 {
		at := a.Start.Add(time.Duration(n)*15*time.Minute + 5*time.Second)
		for k := range 3 {
			a.Do(at.Add(time.Duration(k)*time.Second), who, "Decrypt", h.Key, (3*n+k)%(h.Objects+1))
		}
	}
	a.Note = "a new function reads three objects every quarter of an hour for two days"
	return true
}

// leakedKeyLooks follows the reports on credentials found in public repositories.
func leakedKeyLooks(o *Org, a *Act) bool {
	h := o.Choose(func(h *Habit) bool { return h.Who.Kind == User && h.Days >= 5 })
	if h == nil {
		h = o.Choose(func(h *Habit) bool { return h.Who.Kind == Role && h.Days >= 8 })
	}
	if h == nil {
		return false
	}
	for i, op := range []string{"ListKeys", "ListAliases", "DescribeKey", "GetKeyPolicy", "Decrypt", "Decrypt"} {
		key, object, code := h.Key, -1, ""
		if i < 2 {
			key = nil
		}
		if i < 2 || i == 3 {
			code = "AccessDenied"
		}
		if op == "Decrypt" {
			object = o.Rand.IntN(h.Objects + 1)
		}
		c := a.Do(a.Start.Add(time.Duration(i)*40*time.Second), h.Who, op, key, object)
		c.Error, c.IP, c.Agent = code, rented, "Boto3/1.26.90 Python/3.10.12 Linux/5.15.0-1031 Botocore/1.29.90"
	}
	a.Note = "six calls in four minutes from elsewhere, three of them refused"
	return true
}
