package webhook

import (
	"context"
	"maps"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

const alertmanagerPath = "/api/v2/alerts"

// alertmanagerFormat is all anomalies of a batch as alerts. Alertmanager knows an alert by
// its labels: those of an anomaly never change, except that its severity may rise. Then the
// alert with the lower severity ends with the same request. The entities of an incident may
// change, so they are annotations.
//
// An open alert ends by itself some time after its last revision, so that nothing stays
// open that the sink could not end: after a start, say, before which the severity was lower.
type alertmanagerFormat struct {
	told    told
	labels  map[string]string // of the configuration
	expires time.Duration
	now     func() time.Time
}

// amAlert is an alert of Alertmanager's API v2.
type amAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

func (f *alertmanagerFormat) messages(_ context.Context, batch []sink.Record, bad *sink.Rejected) ([]message, error) {
	m := message{media: "application/json"}
	var alerts []amAlert
	for _, a := range gather(batch, bad) {
		before, news := f.told.news(a)
		if !news && before.revision > a.revision {
			continue // sent again, and older than what Alertmanager has
		}
		if before.rank > a.rank {
			a.severity, a.rank = severities[before.rank], before.rank
		} else if before.rank > 0 && before.rank < a.rank {
			alerts = append(alerts, f.alert(a, severities[before.rank], true))
		}
		alerts = append(alerts, f.alert(a, a.severity, a.ended))
		m.alerts, m.records = append(m.alerts, a), append(m.records, a.records...)
	}
	if len(alerts) == 0 {
		return nil, nil
	}
	m.content = encode(alerts)
	return []message{m}, nil
}

// alert returns an alert of an anomaly or an incident with a severity.
func (f *alertmanagerFormat) alert(a *alert, severity string, ended bool) amAlert {
	labels := maps.Clone(f.labels)
	if labels == nil {
		labels = map[string]string{}
	}
	set := func(list map[string]string, name, text string) {
		if text != "" {
			list[name] = cut(text, 1000)
		}
	}
	notes := map[string]string{}
	entities, alertname, id := labels, "KeytrailAnomaly", "anomaly_id"
	if a.incident {
		entities, alertname, id = notes, "KeytrailIncident", "incident_id"
	}
	for name, text := range map[string]string{
		"alertname": alertname, id: a.id, "kind": a.kind, "detector": a.detector, "severity": severity,
		"scope": a.scope, "account": a.account,
	} {
		set(labels, name, text)
	}
	for name, text := range map[string]string{"kms_key": a.key, "principal": a.principal, "region": a.region} {
		set(entities, name, text)
	}
	set(notes, "summary", a.title())
	set(notes, "description", a.reason)
	set(notes, "kms_key_arn", a.bound)
	set(notes, "explain", a.explain())
	one := amAlert{Labels: labels, Annotations: notes, StartsAt: a.began, EndsAt: f.now().Add(f.expires)}
	if ended {
		one.EndsAt = a.at
	}
	if !one.EndsAt.After(one.StartsAt) {
		one.EndsAt = one.StartsAt.Add(time.Millisecond) // Alertmanager refuses an alert that ends before it starts
	}
	return one
}

func (f *alertmanagerFormat) done(m *message) {
	for _, a := range m.alerts {
		f.told.note(a)
	}
}

func (*alertmanagerFormat) judge(a *httpsink.Answer) error { return verdict(a) }
