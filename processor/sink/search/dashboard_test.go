package search

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/registry"
)

const (
	dashboardFile = "../../../docs/sinks/opensearch-dashboard.ndjson"
	pageFile      = "../../../docs/sinks/opensearch.md"
)

// view is one search of the dashboard or of the documentation.
type view struct {
	title, index, query string
	fields              map[string]string // each field, and the types that its use allows
	aggregations        any
}

// TestDashboard: the dashboard refers to nothing that is missing, and every field in it has a
// mapping that allows its use.
func TestDashboard(t *testing.T) {
	views := append(dashboardViews(t), pageViews(t)...)
	if len(views) != 9+3 {
		t.Errorf("%d searches and visualizations, want 12", len(views))
	}
	r, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	fields, err := mapping(r, "json")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		if len(v.fields) == 0 || !regexp.MustCompile(`^keytrail-(events|windows|anomalies)\*$`).MatchString(v.index) {
			t.Errorf("%s: index %q, fields %v", v.title, v.index, v.fields)
		}
		for field, types := range v.fields {
			at := any(fields)
			for _, part := range strings.Split(field, ".") {
				at = dig(at, "properties", part)
			}
			kind, _ := dig(at, "type").(string)
			if kind == "" || types != "" && !strings.Contains(types, kind) {
				t.Errorf("%s: the field %s has the type %q, want one of %q", v.title, field, kind, types)
			}
		}
	}
}

// inQuery finds the names of fields in a query of Lucene's form.
var inQuery = regexp.MustCompile(`([a-z_@][a-z_.]*):`)

// use notes the fields of a query.
func (v *view) use(query string) {
	v.query = query
	for _, m := range inQuery.FindAllStringSubmatch(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(query, ""), -1) {
		v.fields[m[1]] = ""
	}
}

// aggregated are the types of fields that an aggregation takes.
var aggregated = map[string]string{"terms": "keyword", "cardinality": "keyword", "sum": "long double", "date_histogram": "date_nanos", "max": "date_nanos"}

// dashboardViews reads the searches and visualizations of the dashboard.
func dashboardViews(t *testing.T) (views []view) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	for line := range bytes.Lines(text) {
		var o object
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		objects[o["type"].(string)+" "+o["id"].(string)] = o
	}
	for name, o := range objects {
		references := map[string]object{}
		for _, r := range o["references"].([]any) {
			to := dig(r, "type").(string) + " " + dig(r, "id").(string)
			if objects[to] == nil {
				t.Errorf("%s refers to %s, which is missing", name, to)
			}
			references[dig(r, "name").(string)] = objects[to]
		}
		switch o["type"] {
		case "dashboard":
			var panels []object
			unpack(t, dig(o, "attributes", "panelsJSON"), &panels)
			for _, p := range panels {
				if references[p["panelRefName"].(string)] == nil {
					t.Errorf("panel %v refers to nothing", p)
				}
			}
		case "search", "visualization":
			v := view{title: name, fields: map[string]string{}}
			var source struct {
				Query        struct{ Query, Language string }
				IndexRefName string
			}
			unpack(t, dig(o, "attributes", "kibanaSavedObjectMeta", "searchSourceJSON"), &source)
			if source.Query.Language != "lucene" {
				t.Errorf("%s has a query in %q", name, source.Query.Language)
			}
			v.use(source.Query.Query)
			v.index, _ = dig(references[source.IndexRefName], "attributes", "title").(string)
			columns, _ := dig(o, "attributes", "columns").([]any)
			for _, c := range columns {
				v.fields[c.(string)] = ""
			}
			if o["type"] == "visualization" {
				v.visualize(t, o)
			}
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b view) int { return strings.Compare(a.title, b.title) })
	return views
}

// visualize reads the aggregations of a visualization, as the request that it sends.
func (v *view) visualize(t *testing.T, o object) {
	t.Helper()
	var state struct {
		Aggs []struct {
			ID, Type, Schema string
			Params           object
		}
	}
	unpack(t, dig(o, "attributes", "visState"), &state)
	at := object{}
	top := at
	metrics := object{}
	for _, a := range state.Aggs {
		field, _ := a.Params["field"].(string)
		switch {
		case a.Type == "count":
			continue
		case aggregated[a.Type] == "" || field == "":
			t.Errorf("%s: the aggregation %s of %q", v.title, a.Type, field)
		}
		v.fields[field] = aggregated[a.Type]
		request := object{"field": field}
		if a.Schema == "metric" {
			metrics[a.ID] = object{a.Type: request}
			continue
		}
		if a.Type == "date_histogram" {
			request["calendar_interval"] = "1d"
		}
		below := object{}
		at[a.ID] = object{a.Type: request, "aggs": below}
		at = below
	}
	for id, m := range metrics {
		at[id] = m
	}
	v.aggregations = top
}

func unpack(t *testing.T, text any, into any) {
	t.Helper()
	s, _ := text.(string)
	if err := json.Unmarshal([]byte(s), into); err != nil {
		t.Fatalf("%v: %q", err, s)
	}
}

var onPage = regexp.MustCompile("(?s)```json\nGET /([^/]+)/_search[^\n]*\n(.*?)```")

// pageViews reads the requests of the documentation.
func pageViews(t *testing.T) (views []view) {
	t.Helper()
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range onPage.FindAllStringSubmatch(string(text), -1) {
		v := view{title: "request on " + m[1], index: m[1], fields: map[string]string{}}
		var request object
		unpack(t, m[2], &request)
		v.use(dig(request, "query", "query_string", "query").(string))
		columns, _ := request["_source"].([]any)
		for _, c := range columns {
			v.fields[c.(string)] = ""
		}
		v.collect(request["aggs"])
		v.aggregations = request["aggs"]
		views = append(views, v)
	}
	return views
}

// collect notes the fields of aggregations.
func (v *view) collect(aggs any) {
	all, _ := aggs.(object)
	for _, a := range all {
		for kind, request := range a.(object) {
			if kind == "aggs" {
				v.collect(request)
			} else {
				v.fields[dig(request, "field").(string)] = aggregated[kind]
			}
		}
	}
}
