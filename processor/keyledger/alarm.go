package keyledger

import (
	"fmt"
	"slices"
	"time"

	"keytrail/processor/setting"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// Alarm is one thing about a key that a person should look at.
type Alarm struct {
	Kind string // of kinds
	At   int64  // when it began or will happen, in s since 1970
	// Since is when the alarm was due: At, or a deadline before or after it.
	Since int64
	Text  string
}

// aliasMoved is the kind of alarms of which a key may have several.
const aliasMoved = "alias_moved"

// kinds are all kinds of alarms. Their numbers are stored: new ones are appended.
var kinds = [...]string{"material_expires", "material_expired", "rotation_off", "rotation_overdue", "deletion_near",
	"unusable_called", "unused", "policy_public", aliasMoved, "replica_without_primary", "grant_old",
	"grant_without_source"}

// Kinds returns all kinds of alarms.
func Kinds() []string { return slices.Clone(kinds[:]) }

// Deadlines say when alarms are raised. Each is a time span before or after an event. They
// are the section "ledger" of the configuration; "keytrail usage" uses the defaults.
type Deadlines struct {
	// Expiry is how long before imported key material expires.
	Expiry time.Duration `yaml:"material_expires"`
	// Overdue is how long after a rotation was due.
	Overdue time.Duration `yaml:"rotation_overdue"`
	// Deletion is how long before the deletion of a key that is still called.
	Deletion time.Duration `yaml:"deletion_near"`
	// Recent is how long a moved alias, or a call on an unusable key, is news.
	Recent time.Duration `yaml:"recent"`
	// Unused is how long after the last use.
	Unused time.Duration `yaml:"unused"`
	// Grant is how long after a grant was opened.
	Grant time.Duration `yaml:"grant_old"`
	// Alarms are the kinds of alarms that become anomalies, each key's apart.
	Alarms []string `yaml:"alarms"`
	// MaxAlarms bounds the open alarms of one kind in a partition. Others open as these end.
	MaxAlarms int `yaml:"max_alarms"`
}

const days = 24 * time.Hour

// DefaultDeadlines are the defaults. The rules policy_public and alias_moved report public
// policies and UpdateAlias at once.
func DefaultDeadlines() Deadlines {
	return Deadlines{Expiry: 30 * days, Overdue: 7 * days, Deletion: 7 * days, Recent: 7 * days, Unused: 90 * days,
		Grant: 90 * days, MaxAlarms: 100,
		Alarms: slices.DeleteFunc(Kinds(), func(kind string) bool { return kind == "policy_public" })}
}

// wait is the time from the date of an alarm until it is due, in s.
func (d *Deadlines) wait(kind string) int64 {
	span := map[string]time.Duration{"material_expires": -d.Expiry, "rotation_overdue": d.Overdue,
		"deletion_near": -d.Deletion, "unused": d.Unused, "grant_old": d.Grant}[kind]
	return int64(span / time.Second)
}

// Validate returns setting.Problems, whose keys are those of the section, or nil.
func (d *Deadlines) Validate() error {
	var p setting.Problems
	for _, one := range []struct {
		name string
		span time.Duration
	}{{"material_expires", d.Expiry}, {"rotation_overdue", d.Overdue}, {"deletion_near", d.Deletion}, {"recent", d.Recent},
		{"unused", d.Unused}, {"grant_old", d.Grant}} {
		setting.Between(&p, one.name, one.span, time.Hour, 3650*days)
	}
	for i, kind := range d.Alarms {
		setting.OneOf(&p, fmt.Sprintf("alarms[%d]", i), kind, kinds[:]...)
	}
	setting.Between(&p, "max_alarms", d.MaxAlarms, 1, 10_000)
	return p.Err()
}

// defaultPeriod is the rotation period of keys whose rotation was turned on without one, in
// days. Source: AWS KMS API reference, "EnableKeyRotation".
const defaultPeriod = 365

// RotationDue returns when automatic rotation is due, or 0 if rotation is not on. A rotation
// on demand does not move it.
func (k *Key) RotationDue() int64 {
	r := &k.Facts[Rotation]
	if r.Value != "on" {
		return 0
	}
	period, from := r.Until, r.At
	if period == 0 {
		period = defaultPeriod
	}
	if last := &k.Facts[Rotated]; last.Value != "ON_DEMAND" {
		from = max(from, last.At)
	}
	return from + period*24*3600
}

// Alarms returns the alarms of a key at a time, in s since 1970. The key is as Ledger.All
// gives it, and find returns the ledger of another key, or nil.
func (k *Key) Alarms(now int64, d *Deadlines, find func(string) *Key) (list []Alarm) {
	if k.Facts[Deletion].Value == "deleted" {
		return nil
	}
	add := func(kind string, at int64, format string, args ...any) {
		list = append(list, Alarm{kind, at, at + d.wait(kind), fmt.Sprintf(format, args...)})
	}
	within := func(at int64, span time.Duration) bool { return at != 0 && at-now <= int64(span/time.Second) }
	past := func(at int64, span time.Duration) bool { return at != 0 && now-at >= int64(span/time.Second) }
	k.materialAlarms(now, within, d, add)
	if r := &k.Facts[Rotation]; r.Value == "off" {
		add("rotation_off", r.At, "Automatic rotation was turned off by %s.", r.By)
	}
	if due := k.RotationDue(); past(due, d.Overdue) {
		add("rotation_overdue", due, "Automatic rotation was due on %s, and the input has none since.", day(due))
	}
	deletion, failed := &k.Facts[Deletion], &k.Facts[Unusable]
	waits := deletion.Value == "scheduled" || deletion.Value == "waits_for_replicas"
	switch {
	case waits && failed.At > deletion.At && within(deletion.Until, d.Deletion):
		add("deletion_near", deletion.Until, "The key will be deleted on %s, and %s called it on %s.",
			day(deletion.Until), failed.By, day(failed.At))
	case failed.At != 0 && !past(failed.At, d.Recent):
		add("unusable_called", failed.At, "%s called %s, which fails because the key is disabled or waits for its "+
			"deletion.", failed.By, failed.Value)
	}
	if used := max(k.Facts[Used].At, k.Facts[Created].At); !waits && past(used, d.Unused) {
		add("unused", used, "The key was not used since %s.", day(used))
	}
	if k.Facts[Policy].Value == "public" {
		p := &k.Facts[Policy]
		add("policy_public", p.At, "The key policy admits any account since a change by %s.", p.By)
	}
	for _, a := range k.Aliases {
		if a.Moved != 0 && !past(a.Moved, d.Recent) {
			add(aliasMoved, a.Moved, "The alias %s stands for another key now.", a.Name)
		}
	}
	k.primaryAlarm(find, add)
	k.grantAlarms(past, d, add)
	return list
}

type addAlarm = func(kind string, at int64, format string, args ...any)

func (k *Key) materialAlarms(now int64, within func(int64, time.Duration) bool, d *Deadlines, add addAlarm) {
	switch m := &k.Facts[Material]; {
	case m.Value == "expired", m.Value == "imported" && m.Until != 0 && m.Until <= now:
		add("material_expired", max(m.At, m.Until),
			"The imported key material has expired: calls fail until it is imported again.")
	case m.Value == "imported" && within(m.Until, d.Expiry):
		add("material_expires", m.Until, "The imported key material expires on %s.", day(m.Until))
	}
}

// primaryAlarm finds a replica whose primary key is deleted or waits for its deletion.
func (k *Key) primaryAlarm(find func(string) *Key, add addAlarm) {
	name := k.Facts[Primary].Value
	if name == "" || name == k.Name || cloud.Form(k.Name) != kms.FormMultiRegion {
		return
	}
	if primary := find(name); primary != nil {
		switch f := &primary.Facts[Deletion]; f.Value {
		case "deleted", "scheduled":
			add("replica_without_primary", f.At, "The primary key %s is %s.", name, f.Value)
		}
	}
}

func (k *Key) grantAlarms(past func(int64, time.Duration) bool, d *Deadlines, add addAlarm) {
	old, oldest, open, first := 0, int64(0), 0, int64(0)
	for _, g := range k.Open() {
		if past(g.Opened, d.Grant) {
			if old++; old == 1 {
				oldest = g.Opened
			}
		}
		if g.Service && g.Source == "" && g.Constraint == "" {
			if open++; open == 1 {
				first = g.Opened
			}
		}
	}
	if old > 0 {
		add("grant_old", oldest, "%d grants are open for longer than %d days, the oldest since %s.", old,
			int(d.Grant/days), day(oldest))
	}
	if open > 0 {
		add("grant_without_source", first,
			"%d open grants let a service use the key for any resource: they have no SourceArn.", open)
	}
}
