package splunkhec

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/sink/ids"
	"keytrail/schemas/registry"
)

const folder = "../../../docs/sinks"

// spl are the commands, functions, arguments and keywords of Splunk's search language that
// the searches use, and the fields that Splunk makes itself.
var spl = strings.Fields(`AS BY case coalesce convert count ctime dc dedup eval event_name fillnull index max min now
	perc95 search sort sourcetype stats table timechart true value _indextime _time`)

var (
	quoted = regexp.MustCompile(`"[^"]*"|\$[a-z|.]+\$`)
	alias  = regexp.MustCompile(`\bAS ([a-z_0-9]+)|(?:eval |, )([a-z_]+)=`)
	word   = regexp.MustCompile(`[A-Za-z_@][A-Za-z_0-9]*(\.[a-z_0-9]+)*`)
	named  = regexp.MustCompile(`event_name="([^"]*)"`)
)

// unknown returns the words of a search that are neither its own, nor Splunk's, nor fields.
func unknown(search string, schema *registry.Registry) (list []string) {
	for _, m := range named.FindAllStringSubmatch(search, -1) {
		if _, err := os.Stat("../../../schemas/jsonschema/" + m[1] + ".json"); m[1] != "" && err != nil {
			list = append(list, m[1])
		}
	}
	text := quoted.ReplaceAllString(search, " ")
	own := []string{ids.Event, ids.Window, ids.Anomaly, ids.Revision, "keytrail"} // and the index
	for _, m := range alias.FindAllStringSubmatch(text, -1) {
		own = append(own, m[1]+m[2])
	}
	for _, w := range word.FindAllString(text, -1) {
		if !slices.Contains(spl, w) && !slices.Contains(own, w) && schema.Attribute(w) == nil {
			list = append(list, w)
		}
	}
	return list
}

// TestSearches: each field of a saved search and of the dashboard exists.
func TestSearches(t *testing.T) {
	schema, err := registry.Load(registry.Files())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "splunk-savedsearches.conf"))
	if err != nil {
		t.Fatal(err)
	}
	searches := map[string]string{}
	stanza := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "["); ok {
			stanza = strings.TrimSuffix(name, "]")
		}
		if search, ok := strings.CutPrefix(line, "search = "); ok {
			searches[stanza] = search
		}
	}
	if len(searches) != 4 {
		t.Errorf("%d saved searches, want 4", len(searches))
	}
	var form struct {
		XMLName xml.Name `xml:"form"`
		Version string   `xml:"version,attr"`
		Inputs  []struct {
			Token string `xml:"token,attr"`
		} `xml:"fieldset>input"`
		Panels []struct {
			Title string `xml:"title"`
			Chart string `xml:"chart>search>query"`
			Table string `xml:"table>search>query"`
		} `xml:"row>panel"`
	}
	text, err = os.ReadFile(filepath.Join(folder, "splunk-dashboard.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &form); err != nil || form.Version != "1.1" || len(form.Panels) < 4 {
		t.Errorf("the dashboard: %v, version %q, %d panels", err, form.Version, len(form.Panels))
	}
	for _, p := range form.Panels {
		searches[p.Title] = p.Chart + p.Table
	}
	for name, search := range searches {
		if list := unknown(search, schema); len(list) > 0 || !strings.HasPrefix(search, "index=") {
			t.Errorf("%s: no field is called %q\n%s", name, list, search)
		}
		for _, token := range regexp.MustCompile(`\$([a-z]+)`).FindAllStringSubmatch(search, -1) {
			if !slices.ContainsFunc(form.Inputs, func(i struct {
				Token string `xml:"token,attr"`
			}) bool {
				return i.Token == token[1]
			}) {
				t.Errorf("%s: no input sets $%s$", name, token[1])
			}
		}
	}
	// The check finds what does not exist.
	if list := unknown(`index=x event_name="surprise" aws.kms.surprise=1 | stats count AS n BY n, other`, schema); len(list) != 4 {
		t.Errorf("found %q, want surprise, x, aws.kms.surprise and other", list)
	}
}
