package usage

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"keytrail/processor/keyledger"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
)

// Report is what the input tells of one KMS key. Its JSON form is the output of "keytrail
// usage": names are only added to it.
type Report struct {
	Key      string     `json:"key"`
	Aliases  []Alias    `json:"aliases"`
	State    string     `json:"state"`
	FirstUse *time.Time `json:"first_use"`
	LastUse  *time.Time `json:"last_use"`
	Calls    int64      `json:"calls"`
	Refused  int64      `json:"refused"`
	Failed   int64      `json:"failed"`
	Uses     int64      `json:"uses"`

	FirstCall *time.Time `json:"first_call"`
	LastCall  *time.Time `json:"last_call"`
	Last      *Last      `json:"last_use_by"`

	ByOperation    map[string]int64 `json:"by_operation"`
	ByPrincipal    map[string]int64 `json:"by_principal"`
	ByContextClass map[string]int64 `json:"by_context_class"`
	ByService      map[string]int64 `json:"by_service"`
	Accounts       map[string]int64 `json:"accounts"`
	CrossAccount   []string         `json:"cross_account"`
	Regions        map[string]int64 `json:"regions"`
	Networks       map[string]int64 `json:"networks"`
	TLSVersions    map[string]int64 `json:"tls_versions"`
	KeyExchange    map[string]int64 `json:"key_exchange"`
	Objects        int64            `json:"objects"`
	ObjectsExact   bool             `json:"objects_exact"`
	ByDay          map[string]int64 `json:"by_day"`
	Principals     []Principal      `json:"principals"`

	Ledger   *Ledger  `json:"ledger"`
	Grants   []Grant  `json:"open_grants"`
	AWS      *AWS     `json:"aws,omitempty"`
	Alarms   []Alarm  `json:"alarms"`
	Coverage Covered  `json:"coverage"`
	Verdict  string   `json:"verdict"`
	Reasons  []string `json:"reasons"`
	Inputs   *Inputs  `json:"inputs,omitempty"`
	Version  string   `json:"keytrail_version,omitempty"`
}

// Inputs identify what was read: the number of objects and their bytes as stored, and the
// SHA-256 of the sorted lines of their SHA-256s.
type Inputs struct {
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	// Digests is the result of their verification; nil if they were not verified.
	Digests *Digests `json:"digests,omitempty"`
}

// Alarm is one thing that a person should look at: see keyledger.Alarm.
type Alarm struct {
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Last is the last use.
type Last struct {
	Operation string `json:"operation"`
	Principal string `json:"principal"`
	Call      string `json:"call"`
}

// Alias is a name that stood for the key.
type Alias struct {
	Name    string     `json:"name"`
	Since   time.Time  `json:"since"`
	Removed *time.Time `json:"removed,omitempty"`
	Moved   *time.Time `json:"moved,omitempty"`
}

// Principal is one principal's part.
type Principal struct {
	Principal string           `json:"principal"`
	FirstUse  *time.Time       `json:"first_use"`
	LastUse   *time.Time       `json:"last_use"`
	FirstCall *time.Time       `json:"first_call"`
	LastCall  *time.Time       `json:"last_call"`
	Calls     int64            `json:"calls"`
	Refused   int64            `json:"refused"`
	Failed    int64            `json:"failed"`
	By        map[string]int64 `json:"by_operation"`
	TLS       map[string]int64 `json:"tls_versions,omitempty"`
	Exchange  map[string]int64 `json:"key_exchange,omitempty"`
}

// Covered is the coverage of the key's account and Region, and what no trail shows.
type Covered struct {
	Place
	Unseen []string `json:"unseen"`
}

// Reporter makes the reports of the keys that were counted.
type Reporter struct {
	Ledger   *keyledger.Ledger
	Counter  *Counter
	Coverage *Coverage
	// From and To are the period, [From, To) in ns since 1970.
	From, To  int64
	IdleAfter time.Duration
	// Wanted, unless it is nil, reports whether a key with its ledger, which may be nil, is
	// reported.
	Wanted func(name string, k *keyledger.Key) bool
	// AWS, unless it is nil, returns what AWS knows of a key, and Recent has the uses to
	// compare it with.
	AWS    func(key string) *AWS
	Recent *Recent
	// Digests, unless it is nil, is the result of verifying the input.
	Digests *Digests
}

// Each calls f for each report, ordered by key. A report is the caller's.
func (p *Reporter) Each(f func(*Report) error) error {
	var names []string
	moved := map[string]map[string]int64{} // of a key's aliases
	p.Ledger.All(func(k *keyledger.Key) bool {
		unasked := p.Counter.Principal != nil && p.Counter.keys[k.Name] == nil
		if unasked || p.Wanted != nil && !p.Wanted(k.Name, k) {
			return true
		}
		names = append(names, k.Name)
		for _, a := range k.Aliases {
			if a.Moved != 0 {
				if moved[k.Name] == nil {
					moved[k.Name] = map[string]int64{}
				}
				moved[k.Name][a.Name] = a.Moved
			}
		}
		return true
	})
	for name := range p.Counter.keys {
		if p.Ledger.Find(name) == nil && (p.Wanted == nil || p.Wanted(name, nil)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := f(p.report(name, moved[name])); err != nil {
			return err
		}
	}
	return nil
}

// report makes the report of one key.
func (p *Reporter) report(name string, moved map[string]int64) *Report {
	c := p.Counter.keys[name]
	if c == nil {
		c = &Calls{}
	}
	r := &Report{Key: name, Calls: c.Calls, Refused: c.Refused, Failed: c.Failed, Uses: c.Uses,
		FirstUse: at(c.FirstUse), LastUse: at(c.LastUse), FirstCall: at(c.First), LastCall: at(c.Totals.Last),
		ByOperation: full(c.Operations), ByPrincipal: map[string]int64{}, ByContextClass: full(c.Contexts),
		ByService: full(c.Services), Accounts: full(c.Accounts), Regions: full(c.Regions), Networks: full(c.Networks),
		TLSVersions: full(c.TLS), KeyExchange: full(c.Exchanges), ByDay: map[string]int64{}, Aliases: []Alias{},
		CrossAccount: []string{}, Principals: []Principal{}, Grants: []Grant{}, Alarms: []Alarm{}}
	if c.LastUse != 0 {
		r.Last = &Last{c.LastOperation, c.LastPrincipal, c.LastCall}
	}
	r.Objects, r.ObjectsExact = c.objects.Count()
	for day, n := range c.Days {
		r.ByDay[time.Unix(day*86400, 0).UTC().Format(time.DateOnly)] = n
	}
	_, owner, _ := cloud.Place(name)
	for _, account := range slices.Sorted(maps.Keys(c.Accounts)) {
		if account != owner {
			r.CrossAccount = append(r.CrossAccount, account)
		}
	}
	for principal, u := range c.Users {
		r.ByPrincipal[principal] = u.Calls
		r.Principals = append(r.Principals, Principal{principal, at(u.FirstUse), at(u.LastUse), at(u.First), at(u.Last),
			u.Calls, u.Refused, u.Failed, u.Operations, u.TLS, u.Exchanges})
	}
	slices.SortFunc(r.Principals, func(a, b Principal) int {
		return cmp.Or(a.FirstCall.Compare(*b.FirstCall), strings.Compare(a.Principal, b.Principal))
	})
	p.judge(r, moved)
	return r
}

// judge adds the ledger, the coverage and the verdict.
func (p *Reporter) judge(r *Report, moved map[string]int64) {
	j := judgment{key: p.Ledger.Find(r.Key), idleAfter: p.IdleAfter, digests: p.Digests,
		place: p.Coverage.Of(r.Key, p.From, p.To)}
	r.State = Unknown
	if k := j.key; k != nil {
		j.state = k.State(j.place.To.Unix(), p.Ledger.StoreOf(k))
		r.State, r.Ledger = j.state, ledgerOf(k)
		for _, a := range k.Aliases {
			x := Alias{Name: a.Name, Since: time.Unix(a.Since, 0).UTC(), Moved: second(moved[a.Name])}
			if a.Removed {
				x.Removed = second(a.At)
			}
			r.Aliases = append(r.Aliases, x)
		}
		r.Grants = openGrants(k)
		deadlines := keyledger.DefaultDeadlines()
		for i := range k.Aliases {
			k.Aliases[i].Moved = moved[k.Aliases[i].Name]
		}
		for _, a := range k.Alarms(j.place.To.Unix(), &deadlines, p.Ledger.Find) {
			r.Alarms = append(r.Alarms, Alarm{a.Kind, time.Unix(a.At, 0).UTC(), a.Text})
		}
	}
	r.Coverage = Covered{j.place, unseen(j.key)}
	if p.AWS != nil && j.key != nil {
		r.AWS = p.AWS(r.Key)
		r.AWS.compare(r.State)
		r.AWS.Join = p.Recent.Join(r.Key, r.AWS, &j.place)
		j.aws = r.AWS
	}
	r.Verdict, r.Reasons = j.verdict()
}

// unseen names what no trail shows of the use of a key.
// Source: AWS KMS developer guide, "Determining past usage of a KMS key".
func unseen(k *keyledger.Key) []string {
	list := []string{"grants that were made before the input begins",
		"the number of ciphertexts that only this key decrypts",
		"uses of data keys that callers cached, as S3 Bucket Keys are",
		"volumes that are attached and databases that run, until they start again"}
	if k == nil || !strings.HasPrefix(cmp.Or(k.Facts[keyledger.Spec].Value, "?"), "SYMMETRIC") {
		list = append(list, "uses of the public key outside AWS, if the key is asymmetric")
	}
	return list
}

// full returns m, or an empty map for nil, which JSON would write as null.
func full(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

// at returns the time of ns since 1970, or nil for 0.
func at(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}

func second(s int64) *time.Time { return at(s * int64(time.Second)) }

// Named returns a function that reports whether a name is that of a key or alias as a person
// writes it: an ARN, an id, or alias/NAME. A key is also found by an alias that it has.
func Named(text string) func(name string, k *keyledger.Key) bool {
	is := func(name string) bool {
		return name == text || strings.HasSuffix(name, ":"+text) ||
			!strings.ContainsAny(text, ":/") && strings.HasSuffix(name, ":key/"+text)
	}
	return func(name string, k *keyledger.Key) bool {
		if is(name) {
			return true
		}
		if k == nil || cloud.Form(name) == kms.FormAlias {
			return false
		}
		return slices.ContainsFunc(k.Aliases, func(a keyledger.Alias) bool {
			return !a.Removed && a.Moved == 0 && is(a.Name)
		})
	}
}
