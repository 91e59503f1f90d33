package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	real "keytrail/processor/internal/receiver"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// TestAllAlertmanager sends to a real Alertmanager: revisions are one alert, a higher
// severity ends the alert before, the end resolves it, and a hostile anomaly is taken.
func TestAllAlertmanager(t *testing.T) {
	binary := real.Find(t, "receiver", "alertmanager")
	folder, address := t.TempDir(), real.Address(t)
	config := filepath.Join(folder, "alertmanager.yml")
	text := "route: {receiver: none, group_by: [principal]}\nreceivers: [{name: none}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program := real.Start(t, address, binary, "--config.file="+config, "--storage.path="+folder,
		"--web.listen-address="+address, "--cluster.listen-address=")
	c := DefaultAlertmanager()
	c.Endpoint, c.Labels = "http://"+address, map[string]string{"team": "security"}
	s := opened(t, &c)
	deliver := func(list ...finding) {
		t.Helper()
		var batch []sink.Record
		for _, f := range list {
			f.more = func(r *otellog.Record) { // an anomaly of today
				r.Time = time.Now().Add(-time.Minute).UnixNano()
				r.Get(semconv.KeytrailAnomalyBegan).Str = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
			}
			batch = append(batch, f.record())
		}
		if dead := bring(t, s, batch); len(dead) > 0 {
			t.Errorf("dead letters %q", dead)
		}
	}
	active := func() (list []string) {
		t.Helper()
		answer, err := http.Get("http://" + address + "/api/v2/alerts?active=true")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var alerts []struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&alerts); err != nil {
			t.Fatal(err)
		}
		for _, a := range alerts {
			list = append(list, fmt.Sprint(a.Labels["anomaly_id"], " ", a.Labels["severity"], " ", a.Annotations["description"]))
		}
		return list
	}
	want := func(texts ...string) {
		t.Helper()
		if got := active(); strings.Join(got, "|") != strings.Join(texts, "|") {
			t.Errorf("active are %q, want %q", got, texts)
		}
	}
	deliver(finding{id: "a", severity: "medium", reason: "one"})
	want("a medium one")
	deliver(finding{id: "a", severity: "low", reason: "two", revision: 1})
	want("a medium two")
	deliver(finding{id: "a", severity: "critical", reason: "three", revision: 2})
	want("a critical three")
	program.Kill() // it keeps alerts in memory
	if err := program.Launch(); err != nil {
		t.Fatal(err)
	}
	want()
	deliver(finding{id: "a", severity: "high", reason: "four", revision: 3})
	want("a critical four")
	deliver(finding{id: "a", severity: "high", reason: "five", revision: 4, ended: true})
	want()
	deliver(finding{id: "b", severity: "low", reason: "<&\n\x00\u202eé😀" + strings.Repeat("x", 1<<16)})
	if got := active(); len(got) != 1 || !strings.HasPrefix(got[0], `b low <&\n\x00\u202eé😀xxx`) {
		t.Errorf("active are %.200q", got)
	}
}
