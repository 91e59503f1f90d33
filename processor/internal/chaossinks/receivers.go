package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"keytrail/processor/sink/ids"
)

// found is one record as a receiver holds it.
type found struct {
	id       string // by which the receiver tells copies, "" if it has none
	revision string // the same
	text     []byte // the body json
}

// receiver is one of the receivers, with the way to read its contents.
type receiver struct {
	name   string
	upsert bool // it holds one document per id
	read   func(ctx context.Context, f func(found) error) error
}

// readLines calls f with each whole line of a file. A file that does not exist is empty.
func readLines(path string, f func(line []byte) error) error {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return nil
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		text = rest
	}
}

// hecReceiver reads the file of the stand-in for Splunk.
func hecReceiver(path string) receiver {
	return receiver{name: "splunk_hec", read: func(_ context.Context, f func(found) error) error {
		return readLines(path, func(line []byte) error {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				return err
			}
			return f(named(e.Fields, e.Event))
		})
	}}
}

// named returns a record with its ids, by their names.
func named(list map[string]string, text []byte) found {
	r := found{revision: list[ids.Revision], text: text}
	for _, name := range []string{ids.Event, ids.Window, ids.Anomaly} {
		if list[name] != "" {
			r.id = name + " " + list[name]
		}
	}
	return r
}

// syslogReceiver reads the file of syslog-ng.
func syslogReceiver(path string) receiver {
	return receiver{name: "syslog", read: func(_ context.Context, f func(found) error) error {
		return readLines(path, func(line []byte) error {
			parts := bytes.SplitN(line, []byte("\t"), 7)
			if len(parts) < 7 {
				return fmt.Errorf("line %q has %d parts, want 7", line, len(parts))
			}
			return f(named(structured(string(parts[5])), parts[6]))
		})
	}}
}

// structured returns the parameters of structured data. No id has an escape in it.
func structured(text string) map[string]string {
	list := map[string]string{}
	_, text, _ = strings.Cut(strings.TrimSuffix(text, "]"), " ")
	for text != "" {
		name, rest, _ := strings.Cut(text, `="`)
		value, rest, _ := strings.Cut(rest, `"`)
		list[strings.TrimSpace(name)] = value
		text = rest
	}
	return list
}

// openSearchReceiver reads all documents of OpenSearch. Its upsert is by _id within an index,
// so only the record's own id shows that a record is in two indices.
func openSearchReceiver(url string) receiver {
	return receiver{name: "opensearch", upsert: true, read: func(ctx context.Context, f func(found) error) error {
		if err := ask(ctx, url+"/keytrail-*/_refresh", "", nil); err != nil {
			return err
		}
		path, question := "/keytrail-*/_search?scroll=5m", `{"size":5000,"sort":["_doc"]}`
		for {
			var page struct {
				Scroll string `json:"_scroll_id"`
				Hits   struct {
					Hits []struct {
						Source json.RawMessage `json:"_source"`
					}
				}
			}
			if err := ask(ctx, url+path, question, &page); err != nil {
				return err
			}
			for _, h := range page.Hits.Hits {
				own, err := decodeFlat(h.Source)
				if err != nil {
					return err
				}
				if err := f(found{own.id(), fmt.Sprint(own.revision()), h.Source}); err != nil {
					return err
				}
			}
			if len(page.Hits.Hits) == 0 {
				return nil
			}
			path, question = "/_search/scroll", fmt.Sprintf(`{"scroll":"5m","scroll_id":%q}`, page.Scroll)
		}
	}}
}

// ask posts a question to OpenSearch.
func ask(ctx context.Context, url, question string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(question))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: status %d: %.300s", url, answer.StatusCode, text)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	return err
}
