package webhook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// alert is an anomaly or an incident as people and incident systems see it. Its strings are views into the
// batch: they are valid until Deliver returns.
type alert struct {
	id       string
	revision int64
	ended    bool // it was not found again; an anomaly without a state is open
	incident bool
	kind     string
	detector string
	rule     string // its name for people
	severity string
	rank     int // of the severity: 1 for low to 4 for critical, 0 for none
	reason   string
	// The entity. key is the name by which the anomaly knows the KMS key, an alias or an
	// ARN, and bound the ARN of an alias's key: bound may change between revisions.
	scope, key, bound, principal, account, region string
	began, at                                     time.Time
	start, end                                    string // the window, in RFC 3339
	observed, expected                            *float64
	contributors, calls, techniques               []string
	records                                       []int // the places in the batch of this and older revisions
}

// severities are the severities of anomalies by rank, from 1.
var severities = []string{"", "low", "medium", "high", "critical"}

// stateEnded is the value of keytrail.anomaly.state after the end.
const stateEnded = "ended"

// fill sets a from the log record r.
func (a *alert) fill(r *otellog.Record) {
	resource := func(name string) string {
		for i := range r.Resource {
			if r.Resource[i].Key == name {
				return r.Resource[i].Str
			}
		}
		return ""
	}
	list := func(name string) []string {
		if at := r.Get(name); at != nil && at.Kind == otellog.KindStrings {
			return slices.Clone(at.Strs)
		}
		return nil
	}
	number := func(name string) *float64 {
		if at := r.Get(name); at != nil && at.Kind == otellog.KindDouble {
			n := at.Num
			return &n
		}
		return nil
	}
	*a = alert{
		incident: r.EventName == semconv.EventKeytrailIncident,
		id:       cmp.Or(r.Str(semconv.KeytrailAnomalyID), r.Str(semconv.KeytrailIncidentID), r.Str(semconv.LogRecordUID)),
		ended:    cmp.Or(r.Str(semconv.KeytrailAnomalyState), r.Str(semconv.KeytrailIncidentState)) == stateEnded,
		kind:     cmp.Or(r.Str(semconv.KeytrailAnomalyKind), strings.TrimPrefix(r.EventName, "keytrail.")),
		detector: r.Str(semconv.KeytrailAnomalyDetector),
		rule:     r.Str(semconv.SecurityRuleName),
		severity: cmp.Or(r.Str(semconv.KeytrailAnomalySeverity), r.Str(semconv.KeytrailIncidentSeverity)),
		reason:   cmp.Or(r.Str(semconv.KeytrailAnomalyReason), r.Body), scope: r.Str(semconv.KeytrailWindowScope),
		principal: r.Str(semconv.KeytrailPrincipalID), account: resource(semconv.CloudAccountID),
		region: resource(semconv.CloudRegion), at: moment(r.Time), began: moment(r.Time),
		start: r.Str(semconv.KeytrailWindowStart), end: r.Str(semconv.KeytrailWindowEnd),
		observed: number(semconv.KeytrailAnomalyObserved), expected: number(semconv.KeytrailAnomalyExpected),
		contributors: list(semconv.KeytrailAnomalyContributors),
		calls:        append(list(semconv.KeytrailAnomalyCalls), list(semconv.KeytrailIncidentCalls)...),
		techniques:   append(list(semconv.KeytrailAnomalyTechniques), list(semconv.KeytrailIncidentTechniques)...),
	}
	for _, name := range []string{semconv.KeytrailAnomalyRevision, semconv.KeytrailIncidentRevision} {
		if at := r.Get(name); at != nil {
			a.revision = at.Int
		}
	}
	beginning := cmp.Or(r.Str(semconv.KeytrailAnomalyBegan), r.Str(semconv.KeytrailIncidentBegan))
	if began, err := time.Parse(time.RFC3339Nano, beginning); err == nil {
		a.began = began.UTC()
	}
	a.rank = max(0, slices.Index(severities, a.severity))
	a.key, a.bound = r.Str(semconv.AWSKMSAliasARN), r.Str(semconv.AWSKMSKeyARN)
	if a.key == "" {
		a.key, a.bound = a.bound, ""
	}
	if a.key == a.bound {
		a.bound = ""
	}
}

func moment(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// gather returns the anomalies of a batch, each in its newest revision, in the order in
// which their first revisions stand there. Records that cannot be decoded go to bad.
func gather(batch []sink.Record, bad *sink.Rejected) (list []*alert) {
	places := map[string]int{}
	for i := range batch {
		// The strings in a Record are views: each alert needs its own.
		var r otellog.Record
		if err := r.Decode(batch[i].Value); err != nil {
			bad.Records = append(bad.Records, i)
			bad.Err = fmt.Errorf("cannot decode record %d of the batch: %w", i, err)
			continue
		}
		a := &alert{}
		a.fill(&r)
		at, had := places[a.id]
		switch {
		case !had || a.id == "":
			places[a.id] = len(list)
			a.records = []int{i}
			list = append(list, a)
		case a.revision >= list[at].revision:
			a.records = append(list[at].records, i)
			list[at] = a
		default:
			list[at].records = append(list[at].records, i)
		}
	}
	return list
}

// mostTold bounds the anomalies that a sink remembers: some 2 MB.
const mostTold = 10_000

// told remembers which anomalies were told, and how. It forgets the oldest, and everything
// with the process: such an anomaly is told again. It is safe for concurrent use.
type told struct {
	mu    sync.Mutex
	known map[string]telling
	order []string // the ids by age; a ring once it is full
	next  int
}

// telling is what a message has said of an anomaly.
type telling struct {
	revision int64
	rank     int // the highest
	ended    bool
}

// news reports whether there is something to tell: the anomaly is new, its severity is
// higher than before, it has ended, or it is open again. A revision older than the one that
// was told last is delivered again, and not news. before is what was told.
func (t *told) news(a *alert) (before telling, news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, had := t.known[a.id]
	switch {
	case !had || a.id == "":
		return before, true
	case a.revision < before.revision:
		return before, false
	case a.ended:
		return before, !before.ended
	case before.ended:
		return before, a.revision > before.revision
	}
	return before, a.rank > before.rank
}

// note remembers that an anomaly was told.
func (t *told) note(a *alert) {
	if a.id == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before, had := t.known[a.id]
	now := telling{max(before.revision, a.revision), max(before.rank, a.rank), a.ended}
	if had {
		t.known[a.id] = now
		return
	}
	if t.known == nil {
		t.known = map[string]telling{}
	}
	id := strings.Clone(a.id)
	if len(t.order) < mostTold {
		t.order = append(t.order, id)
	} else {
		delete(t.known, t.order[t.next])
		t.order[t.next] = id
		t.next = (t.next + 1) % mostTold
	}
	t.known[id] = now
}

// title says in a few words what the anomaly is, such as "critical rate" or "ended: high
// rule: key_deletion_scheduled".
func (a *alert) title() string {
	title := strings.TrimSpace(a.severity + " " + a.kind)
	if name := cmp.Or(a.rule, a.detector); name != "" && name != a.kind {
		title += ": " + name
	}
	if a.ended {
		title = "ended: " + title
	}
	return cut(title, 150)
}

// facts are the properties of an anomaly that a message lists, as pairs of name and value
// without those that are empty.
func (a *alert) facts() (list [][2]string) {
	key := a.key
	if a.bound != "" {
		key += " (" + a.bound + ")"
	}
	for _, f := range [][2]string{
		{"KMS key", key}, {"principal", a.principal}, {"account", a.account}, {"Region", a.region},
		{"began", stamp(a.began)}, {"contributors", strings.Join(a.contributors[:min(3, len(a.contributors))], "; ")},
		{"ATT&CK", strings.Join(a.techniques, " ")}, {"id", a.id},
	} {
		if f[1] != "" {
			list = append(list, f)
		}
	}
	return list
}

// stamp is a time for people, in UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// cut returns text as one printable line of at most limit bytes, and ends it with three
// dots where something is left out.
func cut(text string, limit int) string {
	text = printable.Text(text[:min(len(text), 4*limit)])
	if len(text) <= limit {
		return text
	}
	text = text[:limit-len("...")]
	for len(text) > 0 && text[len(text)-1]&0xc0 == 0x80 { // the rest of a character
		text = text[:len(text)-1]
	}
	if n := len(text); n > 0 && text[n-1] >= 0xc0 {
		text = text[:n-1]
	}
	return text + "..."
}
