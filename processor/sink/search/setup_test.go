package search

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

// policies stands in for the parts of Elasticsearch (ILM) and OpenSearch (ISM) that no
// server has which can be had here. It is written after their references: it takes no
// member that they do not name, answers with the defaults that they add, and updates an ISM
// policy only under its last sequence number.
type policies struct {
	root    string
	objects map[string]map[string]any
	puts    []string
}

const (
	elasticRoot    = `{"version":{"number":"9.2.1","build_flavor":"default"},"tagline":"You Know, for Search"}`
	serverlessRoot = `{"version":{"number":"8.11.0","build_flavor":"serverless"},"tagline":"You Know, for Search"}`
	openRoot       = `{"version":{"distribution":"opensearch","number":"2.19.6"},"tagline":"The OpenSearch Project: https://opensearch.org/"}`
)

func (p *policies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		_, _ = io.WriteString(w, p.root)
		return
	}
	openSearch := strings.Contains(p.root, "distribution")
	kind, name, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/_plugins"), "/"), "/")
	name = name[strings.LastIndex(name, "/")+1:]
	if openSearch != strings.HasPrefix(r.URL.Path, "/_plugins/_ism") && (kind == "_ism" || kind == "_ilm") ||
		strings.Contains(p.root, "serverless") && kind == "_ilm" {
		fail(w, http.StatusBadRequest, "illegal_argument_exception", "no handler found for uri ["+r.URL.Path+"]")
		return
	}
	before, there := p.objects[r.URL.Path]
	if r.Method == http.MethodGet {
		if !there {
			fail(w, http.StatusNotFound, "resource_not_found_exception", "it is not found")
			return
		}
		_ = json.NewEncoder(w).Encode(shown(kind, name, before, len(p.puts)))
		return
	}
	var body map[string]any
	text, err := gunzip(r)
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err == nil {
		err = checked(kind, body)
	}
	if seq := fmt.Sprint(len(p.puts)); kind == "_ism" && there != (r.URL.RawQuery == "if_seq_no="+seq+"&if_primary_term=1") {
		fail(w, http.StatusConflict, "version_conflict_engine_exception", "["+name+"]: version conflict with "+r.URL.RawQuery)
		return
	}
	if err != nil || r.Method != http.MethodPut || r.Header.Get("Content-Type") != "application/json" {
		fail(w, http.StatusBadRequest, "x_content_parse_exception", fmt.Sprint(err))
		return
	}
	p.objects[r.URL.Path] = body
	p.puts = append(p.puts, r.URL.Path)
	_, _ = io.WriteString(w, `{"acknowledged":true}`)
}

func fail(w http.ResponseWriter, status int, kind, why string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "error": map[string]any{"type": kind, "reason": why}})
}

// shown is the answer to a GET.
func shown(kind, name string, body map[string]any, seq int) any {
	switch kind {
	case "_component_template":
		return object{"component_templates": []any{object{"name": name, "component_template": body}}}
	case "_index_template":
		return object{"index_templates": []any{object{"name": name, "index_template": body}}}
	case "_scripts":
		return object{"_id": name, "found": true, "script": body["script"]}
	case "_ilm":
		policy := plain(body["policy"]).(object)
		phases := policy["phases"].(object)
		phases["hot"].(object)["min_age"] = "0ms"
		if last, ok := phases["delete"].(object); ok {
			last["actions"] = object{"delete": object{"delete_searchable_snapshot": true}}
		}
		return object{name: object{"version": 1, "modified_date": "2026-11-30T00:00:00.000Z", "policy": policy, "in_use_by": object{}}}
	}
	policy := plain(body["policy"]).(object)
	policy["policy_id"], policy["last_updated_time"], policy["schema_version"], policy["error_notification"] = name, 1, 21, nil
	for _, state := range policy["states"].([]any) {
		for _, action := range state.(object)["actions"].([]any) {
			action.(object)["retry"] = object{"count": 3, "backoff": "exponential", "delay": "1m"}
		}
	}
	return object{"_id": name, "_version": 1, "_seq_no": seq, "_primary_term": 1, "policy": policy}
}

var age = regexp.MustCompile(`^[1-9]\d*[dhms]$`)

// checked refuses what the references do not allow.
func checked(kind string, body map[string]any) error {
	switch kind {
	case "_component_template":
		return members(body, "template", "_meta", "version")
	case "_index_template":
		return members(body, "index_patterns", "priority", "composed_of", "_meta", "data_stream", "template", "version")
	case "_ilm":
		return checkILM(body)
	case "_scripts":
		script, _ := body["script"].(object)
		return members(script, "lang", "source")
	}
	policy, _ := body["policy"].(object)
	if err := members(policy, "description", "default_state", "states", "ism_template"); err != nil {
		return err
	}
	names := map[any]bool{}
	for _, state := range policy["states"].([]any) {
		names[state.(object)["name"]] = true
	}
	for _, state := range policy["states"].([]any) {
		if err := members(state.(object), "name", "actions", "transitions"); err != nil {
			return err
		}
		for _, action := range state.(object)["actions"].([]any) {
			if err := members(action.(object), "rollover", "delete"); err != nil {
				return err
			}
		}
		for _, next := range state.(object)["transitions"].([]any) {
			when, _ := dig(next, "conditions", "min_index_age").(string)
			if !names[dig(next, "state_name")] || !age.MatchString(when) {
				return fmt.Errorf("the transition %v", next)
			}
		}
	}
	if !names[policy["default_state"]] {
		return fmt.Errorf("the default state %v", policy["default_state"])
	}
	return nil
}

func checkILM(body map[string]any) error {
	phases, _ := dig(body, "policy", "phases").(object)
	if err := members(phases, "hot", "delete"); err != nil {
		return err
	}
	if err := members(dig(phases, "hot").(object), "actions"); err != nil {
		return err
	}
	if phases["delete"] == nil {
		return nil
	}
	when, _ := dig(phases, "delete", "min_age").(string)
	if dig(phases, "delete", "actions", "delete") == nil || !age.MatchString(when) {
		return fmt.Errorf("the phase %v", phases["delete"])
	}
	return nil
}

func members(o object, allowed ...string) error {
	if o == nil {
		return fmt.Errorf("there is no object with %v", allowed)
	}
	for name := range o {
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+name+" ") {
			return fmt.Errorf("unknown field [%s]", name)
		}
	}
	return nil
}

// planner is a Config that can be set up.
type planner interface {
	Plan(context.Context) (*Setup, error)
}

// TestSetup installs what each receiver needs, and holds that a second setup changes nothing
// and a third only the setting that has changed.
func TestSetup(t *testing.T) {
	elastic := func(c Settings) planner { return &Elasticsearch{c} }
	open := func(c Settings) planner { return &OpenSearch{c} }
	for _, c := range []struct {
		name, root string
		of         func(Settings) planner
		change     func(*Settings)
		objects    int
		note, want string
	}{
		{"ILM", elasticRoot, elastic, func(c *Settings) { c.Keep.Events = 30 * day }, 11, "", "~ phases.delete.min_age: \"90d\" -> \"30d\""},
		{"ISM", openRoot, open, func(c *Settings) { c.Keep.Events = 30*day + time.Hour }, 11, "",
			"~ states[0].transitions[0].conditions.min_index_age: \"90d\" -> \"2595600s\""},
		{"serverless", serverlessRoot, elastic, nil, 7, "no lifecycle policies", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &policies{root: c.root, objects: map[string]map[string]any{}}
			server := httptest.NewServer(p)
			defer server.Close()
			settings := defaults()
			settings.Endpoint = server.URL
			for round := range 3 {
				if round == 2 && c.change != nil {
					c.change(&settings)
				}
				plan, err := c.of(settings).Plan(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(fmt.Sprint(plan.Notes), c.note) || c.note == "" && len(plan.Notes) > 0 {
					t.Errorf("notes %q", plan.Notes)
				}
				got := ""
				for _, change := range plan.Changes {
					got += strings.Join(change.Lines, " ")
				}
				switch want := c.objects; {
				case round == 0 && (len(plan.Changes) != want || got != ""),
					round == 1 && len(plan.Changes) != 0, round == 2 && got != c.want:
					t.Errorf("round %d: %d changes: %s", round, len(plan.Changes), got)
				}
				if err := plan.Apply(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := plan.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestSetupPolicies: a stream rolls over, a kind that is kept without end has no policy that
// deletes it, and no policy makes an index read-only, as a late revision may still come.
func TestSetupPolicies(t *testing.T) {
	for _, ism := range []bool{true, false} {
		c := defaults()
		c.Index.Events, c.Keep.Events, c.Keep.Windows = Stream, 0, 0
		list, err := resources(&c, ism)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, r := range list {
			if !r.optional {
				continue
			}
			text, err := json.Marshal(r.body)
			if err != nil {
				t.Fatal(err)
			}
			found[r.name] = string(text)
			for _, word := range []string{"read_only", "readonly", "forcemerge", "shrink"} {
				if strings.Contains(string(text), word) {
					t.Errorf("%s: %s", r.name, text)
				}
			}
		}
		events, anomalies := found["keytrail-events"], found["keytrail-anomalies"]
		if len(found) != 3 || !strings.Contains(events, "rollover") || strings.Contains(events, "delete") ||
			strings.Contains(anomalies, "rollover") || !strings.Contains(anomalies, "400d") {
			t.Errorf("policies %v", found)
		}
	}
}

// TestSetupRefusals: a setup that cannot be done says which object and what the receiver
// said, and stops there.
func TestSetupRefusals(t *testing.T) {
	p := &policies{root: openRoot, objects: map[string]map[string]any{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/_component_template") {
			fail(w, http.StatusForbidden, "security_exception", "no permissions for [cluster:admin]")
			return
		}
		p.ServeHTTP(w, r)
	}))
	defer server.Close()
	c := OpenSearch{defaults()}
	c.Endpoint = server.URL
	plan, err := c.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = plan.Apply(t.Context())
	if want := `cannot write the component template "keytrail-mappings": status 403: security_exception: no permissions`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(p.puts) != 4 {
		t.Errorf("%q were made", p.puts)
	}
	for root, want := range map[string]string{elasticRoot: "the receiver is Elasticsearch 9.2.1; write type: elasticsearch",
		"<html>": "GET / has an answer without a version", `{"version":{}}`: "GET / has an answer without a version"} {
		p.root = root
		if _, err := c.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", root, err, want)
		}
	}
}
