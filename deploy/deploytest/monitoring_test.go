package deploytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"keytrail/processor/telemetry"
)

// rulesFile has the alerts.
const rulesFile = "deploy/prometheus/keytrail.rules.yaml"

// alertRules is a rule file of Prometheus.
type alertRules struct {
	Groups []struct {
		Name  string
		Rules []alertRule
	}
}

type alertRule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
}

// rules are the rules of all groups.
func (r *alertRules) rules() (list []alertRule) {
	for _, g := range r.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

// file returns the text of a file of the project.
func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(projectRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scraped returns /metrics of a process that has used every instrument.
func scraped(t *testing.T) string {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*telemetry.Flow{tel.Flow("count", ""), tel.Flow("forward", "siem")} {
		f.Begin("late")
		f.BeginTransactions()
		f.Received(1)
		f.Delivered(1)
		f.Filtered("not_taken", 1)
		f.Duplicate(1)
		f.Unexplained(1)
		f.Others("key", 1)
		f.Took(time.Second)
		f.Restored(1, time.Second)
	}
	tel.Sink("siem").Begin("invalid")
	tel.Sink("siem").Attempt()(nil)
	tel.WindowDelay().Record(time.Second, 2)
	tel.EventDelay("collect").Record(time.Second, 2)
	messaging := tel.Messaging()
	messaging.Sent("kms.events", 1)
	messaging.Consumed("kms.events", 1)
	messaging.Took("send", time.Second, true)
	if _, err := tel.Coverage([]string{"111122223333/eu-central-1"}); err != nil {
		t.Fatal(err)
	}
	if err := tel.Build("0.1.0", "abc"); err != nil {
		t.Fatal(err)
	}
	tel.WindowsPublished("closed", 1)
	tel.AnomaliesPublished("rate", 1)
	mark, err := tel.Watermark("detect")
	if err != nil {
		t.Fatal(err)
	}
	mark.Set(time.Now().UnixNano())
	mark.Partitions(map[int32]int64{0: time.Now().UnixNano()})
	lag, err := tel.Lag("count", "")
	if err != nil {
		t.Fatal(err)
	}
	lag.Set(1, time.Now())
	state, err := tel.SinkState("siem", []string{"taking", "failing", "paused"}, []string{"tls"})
	if err != nil {
		t.Fatal(err)
	}
	state.Expires(time.Now())
	state.Oldest(time.Now)
	tel.Rules("0123456789abcdef")
	source, err := tel.SourceState("trail")
	if err != nil {
		t.Fatal(err)
	}
	source.Polled(time.Now())
	source.Waiting(1, time.Now())
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, telemetry.Path, nil))
	if err := tel.Shutdown(t.Context()); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return w.Body.String()
}

// metricName is a name of a metric of ours.
var metricName = regexp.MustCompile(`\bkeytrail_(?:stage|sink|source|window|anomaly|config|rules|event|partition|coverage|build)_[a-z_]*[a-z]\b`)

// TestMetricsExist: rules, dashboard and documents name only metrics that a process exposes.
func TestMetricsExist(t *testing.T) {
	text := scraped(t)
	series := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:# TYPE )?(keytrail_[a-z_]+)`).FindAllStringSubmatch(text, -1) {
		series[m[1]] = true
	}
	named := 0
	for _, name := range []string{rulesFile, "deploy/prometheus/keytrail.test.yaml", "deploy/grafana/keytrail.json",
		"docs/runbook.md", "docs/operations.md", "docs/sinks.md", "docs/sigma.md", "docs/detectors.md"} {
		for _, m := range metricName.FindAllString(file(t, name), -1) {
			named++
			if !series[m] {
				t.Errorf("%s: %s is not a metric of Keytrail; they are the series of /metrics", name, m)
			}
		}
	}
	if named < 100 || len(series) < 25 {
		t.Errorf("only %d names and %d series were compared", named, len(series))
	}
}

// entryParts are the parts of an entry of the runbook, in order.
var entryParts = []string{"Meaning", "Impact", "Commands", "Causes", "Fix", "Fixed when"}

// runbookEntries returns the entries of the runbook by their heading, and the headings in
// order.
func runbookEntries(t *testing.T) (map[string]string, []string) {
	t.Helper()
	entries, order := map[string]string{}, []string{}
	for _, section := range strings.Split(file(t, "docs/runbook.md"), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		entries[heading], order = text, append(order, heading)
	}
	return entries, order
}

// TestRunbook: every alert has its entry, and every entry its alert, in the same order; an
// entry has all parts, and three commands with their output.
func TestRunbook(t *testing.T) {
	var rules alertRules
	d := yaml.NewDecoder(strings.NewReader(file(t, rulesFile)))
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil {
		t.Fatalf("%s: %v", rulesFile, err)
	}
	entries, order := runbookEntries(t)
	var alerts []string
	for _, r := range rules.rules() {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: its runbook is %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if !slices.Contains([]string{"critical", "warning", "none"}, r.Labels["severity"]) ||
			r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: labels %v, annotations %v; want a severity, a summary and a description", r.Alert, r.Labels,
				r.Annotations)
		}
		if !strings.Contains(file(t, "deploy/prometheus/keytrail.test.yaml"), "alertname: "+r.Alert+"\n        exp_alerts:") {
			t.Errorf("%s: no unit test lets it fire", r.Alert)
		}
	}
	if !slices.Equal(alerts, order) {
		t.Errorf("the alerts are %q, and the runbook's entries %q", alerts, order)
	}
	for _, heading := range order {
		for _, problem := range entryProblems(entries[heading]) {
			t.Errorf("docs/runbook.md: %s: %s", heading, problem)
		}
	}
}

// entryProblems returns the faults of one entry's form.
func entryProblems(text string) (list []string) {
	var parts []string
	for _, m := range regexp.MustCompile(`(?m)^\*\*([A-Za-z ]+)\.\*\*`).FindAllStringSubmatch(text, -1) {
		parts = append(parts, m[1])
	}
	if !slices.Equal(parts, entryParts) {
		list = append(list, fmt.Sprintf("its parts are %q, want %q", parts, entryParts))
	}
	_, block, _ := strings.Cut(text, "```console notest\n")
	block, _, _ = strings.Cut(block, "```")
	commands := strings.Split("\n"+block, "\n$ ")[1:]
	if len(commands) != 3 {
		list = append(list, fmt.Sprintf("%d commands, want 3", len(commands)))
	}
	for _, c := range commands {
		if command, output, _ := strings.Cut(c, "\n"); strings.Trim(output, ". \n") == "" {
			list = append(list, fmt.Sprintf("the command %q shows no output", command))
		}
	}
	return list
}

// dashboard is what the tests read of a dashboard of Grafana.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID         int
		Title      string
		Datasource struct{ Type, UID string }
		Targets    []struct{ Expr, RefID string }
	}
}

// readDashboard reads the dashboard.
func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(file(t, "deploy/grafana/keytrail.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: every panel has its own number and title, the data source that the user
// chooses, and queries.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	seen := map[string]bool{}
	for _, p := range d.Panels {
		id := fmt.Sprint(p.ID)
		if seen[id] || seen[p.Title] || p.ID == 0 || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q shares its number or title, or has no query", p.ID, p.Title)
		}
		seen[id], seen[p.Title] = true, true
		if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has the data source %+v, want the variable", p.Title, p.Datasource)
		}
	}
	if len(d.Panels) < 8 || len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" {
		t.Errorf("%d panels, variables %+v", len(d.Panels), d.Templating.List)
	}
}

// TestPromtool: promtool accepts the rules, their unit tests, every expression of the
// dashboard, and the names, units and help texts of /metrics.
func TestPromtool(t *testing.T) {
	if os.Getenv("KEYTRAIL_PROMTOOL") != "real" {
		t.Skip("NOT RUN: promtool did not check the alerts; set KEYTRAIL_PROMTOOL=real, as make integration does")
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(projectRoot, "scripts/promtool")).Output()
	if err != nil {
		t.Fatalf("scripts/promtool: %v", err)
	}
	program := strings.TrimSpace(string(out))
	f := func(input string, arguments ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, arguments...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", arguments, err, out)
		}
	}
	f("", "check", "rules", "--lint=all", "--lint-fatal", filepath.Join(projectRoot, rulesFile))
	f("", "test", "rules", filepath.Join(projectRoot, "deploy/prometheus/keytrail.test.yaml"))
	ours := regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?(keytrail|messaging)_.*\n`).FindAllString(scraped(t), -1)
	f(strings.Join(ours, ""), "check", "metrics")

	variable := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, p := range readDashboard(t).Panels {
		for j, target := range p.Targets {
			rules += fmt.Sprintf("  - {record: 'panel%d:query%d', expr: %q}\n", i, j, variable.Replace(target.Expr))
		}
	}
	path := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	f("", "check", "rules", path)
}

// The probes of the chart ask for the paths of health.
func TestProbesOfTheChart(t *testing.T) {
	text := file(t, "deploy/helm/keytrail/templates/statefulset.yaml")
	var got []string
	for _, m := range regexp.MustCompile(`httpGet: \{path: ([^,]+),`).FindAllStringSubmatch(text, -1) {
		got = append(got, m[1])
	}
	if want := []string{telemetry.HealthPath, telemetry.HealthPath, telemetry.ReadyPath}; !slices.Equal(got, want) {
		t.Errorf("start, life and readiness ask for %v, want %v", got, want)
	}
}
