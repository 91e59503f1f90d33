package webhook

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// TestLife: a message tells of an anomaly when it is new, when its severity rises and when
// it ends, and not for each revision. A batch tells only its newest revision.
func TestLife(t *testing.T) {
	for _, name := range []string{"slack", "teams", "pagerduty"} {
		h, s := one(t, name)
		f := func(want string, list ...finding) {
			t.Helper()
			if got := strings.Join(h.tell(t, s, list...), "\n"); want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("%s: %+v gives %q, want %q", name, list, got, want)
			}
		}
		ended := map[string]string{"slack": "ended: ", "teams": "ended: ", "pagerduty": `"resolve"`}[name]
		f("first", finding{id: "a", severity: "low", reason: "first", revision: 0})
		f("", finding{id: "a", severity: "low", reason: "second", revision: 1}, finding{id: "a", severity: "low", reason: "third", revision: 2})
		f("fifth", finding{id: "a", severity: "low", reason: "fourth", revision: 3}, finding{id: "a", severity: "critical", reason: "fifth", revision: 4})
		f("", finding{id: "a", severity: "high", reason: "sixth", revision: 5})
		f(ended, finding{id: "a", severity: "high", reason: "seventh", revision: 6, ended: true})
		f("", finding{id: "a", severity: "high", reason: "seventh", revision: 6, ended: true})
		f("", finding{id: "a", severity: "critical", reason: "fifth", revision: 4}) // delivered again
		f("eighth", finding{id: "a", severity: "low", reason: "eighth", revision: 7})
		f("", finding{id: "a", severity: "high", reason: "seventh", revision: 6, ended: true}) // delivered again
		f(ended, finding{id: "b", severity: "high", reason: "late"}, finding{id: "b", severity: "high", reason: "late", revision: 2, ended: true})
	}
}

// TestSeverities: the severities of PagerDuty, and the summary.
func TestSeverities(t *testing.T) {
	for severity, want := range map[string]string{"critical": "critical", "high": "error", "medium": "warning", "low": "info", "": "info"} {
		h, s := one(t, "pagerduty")
		got := h.tell(t, s, finding{id: "a", severity: severity, reason: "The reason."})
		var e pagerDutyEvent
		if err := json.Unmarshal([]byte(got[0]), &e); err != nil || e.Payload.Severity != want || e.DedupKey != "a" ||
			e.Payload.Summary != strings.TrimSpace(severity+" rate")+": The reason." || e.Payload.Timestamp != "2026-11-18T11:11:40Z" {
			t.Errorf("%q gives %+v %+v (%v)", severity, e, e.Payload, err)
		}
	}
}

// TestAlerts: the labels of an anomaly stay, whatever its revisions say, except that its
// severity may rise: then the alert before ends.
func TestAlerts(t *testing.T) {
	h, s := one(t, "alertmanager")
	now := time.Unix(0, began).UTC().Add(time.Hour)
	f := s.format.(*alertmanagerFormat)
	f.now, f.labels = func() time.Time { return now }, map[string]string{"team": "security"}
	tell := func(x finding) (list []amAlert) {
		t.Helper()
		for _, text := range h.tell(t, s, x) {
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				t.Fatal(err)
			}
		}
		return list
	}
	alias := func(bound string) func(*otellog.Record) {
		return func(r *otellog.Record) {
			r.String(semconv.AWSKMSAliasARN, "arn:aws:kms:eu-central-1:111122223333:alias/app")
			r.Get(semconv.AWSKMSKeyARN).Str = bound
		}
	}
	first := tell(finding{id: "a", severity: "medium", reason: "x", more: alias("arn:aws:kms:eu-central-1:111122223333:alias/app")})
	again := tell(finding{id: "a", severity: "low", reason: "y", revision: 1, more: alias("arn:aws:kms:eu-central-1:111122223333:key/k")})
	if len(first) != 1 || len(again) != 1 || fmt.Sprint(first[0].Labels) != fmt.Sprint(again[0].Labels) {
		t.Fatalf("first %v, again %v", first, again)
	}
	if l := first[0].Labels; l["team"] != "security" || l["severity"] != "medium" || l["kms_key"] == "" || len(l) != 10 {
		t.Errorf("labels %v", l)
	}
	if !first[0].StartsAt.Equal(time.Unix(0, began)) || !first[0].EndsAt.Equal(now.Add(24*time.Hour)) || again[0].Annotations["description"] != "y" {
		t.Errorf("first %+v, again %+v", first[0], again[0])
	}
	rise := tell(finding{id: "a", severity: "critical", reason: "z", revision: 2, more: alias("k")})
	if len(rise) != 2 || fmt.Sprint(rise[0].Labels) != fmt.Sprint(first[0].Labels) || !rise[0].EndsAt.Before(now) ||
		rise[1].Labels["severity"] != "critical" || !rise[1].EndsAt.After(now) {
		t.Errorf("a higher severity gives %+v", rise)
	}
	if old := tell(finding{id: "a", severity: "medium", reason: "y", revision: 1, more: alias("k")}); old != nil {
		t.Errorf("an older revision gives %+v", old)
	}
	end := tell(finding{id: "a", severity: "low", reason: "z", revision: 3, ended: true, more: alias("k")})
	if len(end) != 1 || fmt.Sprint(end[0].Labels) != fmt.Sprint(rise[1].Labels) || !end[0].EndsAt.Before(now) {
		t.Errorf("the end gives %+v", end)
	}
}

// incident makes the record of a finding that of an incident.
func incident(r *otellog.Record) {
	r.EventName = semconv.EventKeytrailIncident
	for was, is := range map[string]string{
		semconv.KeytrailAnomalyID: semconv.KeytrailIncidentID, semconv.KeytrailAnomalyRevision: semconv.KeytrailIncidentRevision,
		semconv.KeytrailAnomalySeverity: semconv.KeytrailIncidentSeverity, semconv.KeytrailAnomalyReason: semconv.KeytrailIncidentReason,
		semconv.KeytrailAnomalyBegan: semconv.KeytrailIncidentBegan, semconv.KeytrailAnomalyState: semconv.KeytrailIncidentState,
	} {
		if a := r.Get(was); a != nil {
			a.Key = is
		}
	}
	r.Attrs = slices.DeleteFunc(r.Attrs, func(a otellog.Attr) bool { return strings.HasPrefix(a.Key, "keytrail.anomaly.") })
}

// TestIncidents: an incident is told when it begins, gets worse and ends, and its labels in
// Alertmanager stay when its entities change.
func TestIncidents(t *testing.T) {
	h, s := one(t, "slack")
	for _, c := range []struct {
		of   finding
		want string
	}{
		{finding{id: "i", severity: "medium", reason: "first"}, "medium incident"},
		{finding{id: "i", severity: "medium", reason: "wider", revision: 1}, ""},
		{finding{id: "i", severity: "critical", reason: "worse", revision: 2}, "critical incident"},
		{finding{id: "i", severity: "critical", reason: "over", revision: 3, ended: true}, "ended: critical incident"},
	} {
		c.of.more = incident
		if got := strings.Join(h.tell(t, s, c.of), ""); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v gives %q, want %q", c.of, got, c.want)
		}
	}
	if got := tally([]*alert{{rank: 1}, {incident: true}, {incident: true}}); got != "1 anomaly and 2 incidents: 1 low" {
		t.Errorf("the tally is %q", got)
	}
	h, s = one(t, "alertmanager")
	s.format.(*alertmanagerFormat).now = func() time.Time { return time.Unix(0, began).UTC() }
	labels := func(x finding) string {
		var list []amAlert
		if err := json.Unmarshal([]byte(h.tell(t, s, x)[0]), &list); err != nil || len(list) != 1 {
			t.Fatalf("%+v gives %+v (%v)", x, list, err)
		}
		return fmt.Sprint(list[0].Labels)
	}
	first := labels(finding{id: "i", severity: "high", reason: "x", more: incident})
	end := labels(finding{id: "i", severity: "high", reason: "y", revision: 1, ended: true, more: func(r *otellog.Record) {
		incident(r)
		r.Get(semconv.AWSKMSKeyARN).Str, r.Get(semconv.KeytrailPrincipalID).Str = "", ""
		r.Resource = nil
		r.Where(semconv.CloudAccountID, "111122223333")
	}})
	if first != end || !strings.Contains(first, "incident_id:i") {
		t.Errorf("the labels %s become %s", first, end)
	}
}

// TestRoutingKey: a refusal for the key keeps the events, and one for an event does not.
func TestRoutingKey(t *testing.T) {
	for answer, want := range map[string]string{
		`400 {"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`: "paused credentials",
		`400 Invalid routing key`: "paused credentials",
		`400 {"status":"invalid event","message":"Event object is invalid","errors":["'payload.severity' is invalid"]}`: "halved invalid",
		`202 {"status":"throttled"}`: "paused protocol", `200 {"status":"success"}`: "paused protocol", `202 <html>`: "paused protocol",
		`429 {"status":"throttle exceeded"}`: "again", `500 x`: "again",
	} {
		h, s := one(t, "pagerduty")
		h.answer = func(int, []byte) string { return answer }
		err := s.Deliver(t.Context(), []sink.Record{finding{id: "a"}.record()})
		if got := sinktest.Verdict(err); got != want || strings.Contains(err.Error(), testKey) {
			t.Errorf("%s gives %q (%v), want %q", answer, got, err, want)
		}
	}
}

// TestSlackWords: the words of Slack, and what is not Slack.
func TestSlackWords(t *testing.T) {
	for answer, want := range map[string]string{
		"400 invalid_payload": "halved invalid", "400 no_text": "halved invalid", "400 invalid_token": "paused credentials",
		"403 action_prohibited": "paused credentials", "403 invalid_token": "paused credentials", "404 no_service": "paused credentials",
		"404 channel_not_found": "paused address", "410 channel_is_archived": "paused address", "500 rollup_error": "again",
		"429 ratelimited": "again", `200 {"ok":false,"error":"ratelimited"}`: "paused protocol", "200 <html>ok": "paused protocol",
		"200 ": "paused protocol", "202 ok": "paused protocol",
	} {
		h, s := one(t, "slack")
		h.answer = func(int, []byte) string { return answer }
		if got := sinktest.Verdict(s.Deliver(t.Context(), []sink.Record{finding{id: "a"}.record()})); got != want {
			t.Errorf("%s gives %q, want %q", answer, got, want)
		}
	}
}

// TestTeamsWords: an old connector says success, and in the body what Teams said.
func TestTeamsWords(t *testing.T) {
	for answer, want := range map[string]string{
		"202 ": "accepted", "200 1": "accepted", "413 x": "halved too_large",
		"200 Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429": "again",
		"200 Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413": "halved too_large",
		"200 <html>log in</html>": "paused protocol", "401 x": "paused credentials",
	} {
		h, s := one(t, "teams")
		h.answer = func(int, []byte) string { return answer }
		if got := sinktest.Verdict(s.Deliver(t.Context(), []sink.Record{finding{id: "a"}.record()})); got != want {
			t.Errorf("%s gives %q, want %q", answer, got, want)
		}
	}
}

// TestHostile: whatever an anomaly holds, the strict stand-ins take its message, which has
// or counts every anomaly, and no text of it is more than text there.
func TestHostile(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	pieces := []string{"<!channel>", "<https://evil.example|click>", "&", "&amp;", "`", "*bold*", "[click](https://evil.example)",
		"\n", "\x00", "\u202e", "é", "😀", `"`, `\`, strings.Repeat("x", 5000), strings.Repeat("&", 3000), strings.Repeat("😀", 2000), "\xff"}
	text := func() string {
		var b strings.Builder
		for range rng.IntN(6) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	texts := func() (list []string) {
		for range rng.IntN(40) {
			list = append(list, text())
		}
		return list
	}
	for _, r := range receivers() {
		h, s := one(t, r.name)
		for round := range 60 {
			var list []finding
			for i := range 1 + rng.IntN(40)*(round%2) {
				list = append(list, finding{id: fmt.Sprint(round, "-", i, text()), severity: severities[rng.IntN(5)], reason: text(),
					ended: rng.IntN(4) == 0, more: func(r *otellog.Record) {
						for _, name := range []string{semconv.SecurityRuleName, semconv.AWSKMSAliasARN} {
							r.String(name, text())
						}
						r.Get(semconv.KeytrailPrincipalID).Str, r.Get(semconv.KeytrailAnomalyKind).Str = text(), text()
						r.Get(semconv.KeytrailAnomalyBegan).Str = text()
						r.Resource[0].Str = text()
						for _, name := range []string{semconv.KeytrailAnomalyContributors, semconv.KeytrailAnomalyCalls, semconv.KeytrailAnomalyTechniques} {
							r.Strings(name, texts())
						}
					}})
			}
			got := h.tell(t, s, list...)
			all := strings.Join(got, "")
			if n := len(list); (r.name == "slack" || r.name == "teams") && n > 1 && !strings.Contains(all, fmt.Sprint("Keytrail: ", n, " anomalies")) {
				t.Errorf("%s: the message does not count %d anomalies: %s", r.name, n, all)
			}
			if strings.ContainsAny(all, "\u202e\x00") {
				t.Errorf("%s: what cannot be shown is in the message", r.name)
			}
		}
	}
}

// TestRest: a message says how many anomalies it does not list, and the command covers the
// windows of all.
func TestRest(t *testing.T) {
	var list []*alert
	for i := range 300 {
		list = append(list, &alert{id: fmt.Sprint(i), rank: 1 + i%4, severity: severities[1+i%4], ended: i%3 == 0, kind: "rate",
			start: time.Unix(1_795_000_000+int64(i*300), 0).UTC().Format(time.RFC3339)})
	}
	d := newDigest(list)
	text, command := d.rest()
	if d.headline() != "Keytrail: 300 anomalies: 75 critical, 75 high, 75 medium, 75 low; 100 of them ended" ||
		!strings.HasPrefix(text, "and 290 anomalies: 65 critical, 75 high, 75 medium, 75 low; ") ||
		command != "keytrail explain --list --since 2026-11-18T11:06:40Z --until 2026-11-19T12:01:41Z -c FILE" {
		t.Errorf("%s\n%s\n%s", d.headline(), text, command)
	}
	for _, a := range d.alerts[:d.listed] {
		if a.rank != 4 {
			t.Errorf("listed is %+v", a)
		}
	}
}

// TestToldIsBounded: the memory forgets the oldest.
func TestToldIsBounded(t *testing.T) {
	var m told
	for i := range 3 * mostTold {
		a := &alert{id: fmt.Sprint(i), rank: 1}
		if _, news := m.news(a); !news {
			t.Fatalf("%d is known", i)
		}
		m.note(a)
		m.note(a)
	}
	if len(m.known) != mostTold || len(m.order) != mostTold {
		t.Errorf("%d known, %d in order", len(m.known), len(m.order))
	}
	if _, news := m.news(&alert{id: fmt.Sprint(2 * mostTold), rank: 1}); news {
		t.Error("it forgot too much")
	}
}

// TestLargest: an anomaly with long lists of long texts stays below the receivers' bounds.
func TestLargest(t *testing.T) {
	list := make([]string, 2000)
	for i := range list {
		list[i] = strings.Repeat(`"`, 2000)
	}
	for _, r := range receivers() {
		h, s := one(t, r.name)
		h.tell(t, s, finding{id: "a", severity: "high", reason: list[0], more: func(r *otellog.Record) {
			r.Strings(semconv.KeytrailAnomalyContributors, list)
			r.Strings(semconv.KeytrailAnomalyCalls, list)
			r.Strings(semconv.KeytrailAnomalyTechniques, list)
		}})
	}
}
