package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"keytrail/processor/sink/httpsink"
)

// Setup is what a receiver lacks of what the sink needs: index templates with a mapping for
// every attribute, policies that delete old indices, and search templates. It is not safe for
// concurrent use.
type Setup struct {
	Receiver string   // its product and version
	Notes    []string // what cannot be set up there, or is left as it is
	Changes  []Change // in the order in which they are to be made
	sink     *Sink
}

// Change is one object to be made or changed at the receiver.
type Change struct {
	What string // "index template"
	Name string
	Path string // of the PUT request that makes the change
	New  bool   // there is no such object yet
	// Lines are what would differ: "+ name: value" for an addition and
	// "~ name: old -> new" for a change. Additions of others are not listed.
	Lines []string
	body  object
}

// Body returns the body of the PUT request, indented.
func (c *Change) Body() string {
	text, err := json.MarshalIndent(c.body, "", "  ")
	if err != nil {
		panic("BUG: cannot encode an object of setup: " + err.Error())
	}
	return string(text)
}

// Plan asks the cluster that c names what it has, and returns what it lacks. It changes
// nothing.
func (c *OpenSearch) Plan(ctx context.Context) (*Setup, error) { return plan(ctx, &c.Settings, true) }

// Plan asks the cluster that c names what it has, and returns what it lacks. It changes
// nothing.
func (c *Elasticsearch) Plan(ctx context.Context) (*Setup, error) {
	return plan(ctx, &c.Settings, false)
}

func plan(ctx context.Context, c *Settings, openSearch bool) (*Setup, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s, err := newSink(c)
	if err != nil {
		return nil, err
	}
	p := &Setup{sink: s}
	serverless, err := p.recognize(ctx, openSearch)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	list, err := resources(c, openSearch)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for i := range list {
		if serverless && list[i].optional {
			continue
		}
		if err := p.compare(ctx, &list[i]); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if serverless {
		p.Notes = append(p.Notes, "Elasticsearch Serverless has no lifecycle policies: set how long indices are kept there")
	}
	return p, nil
}

// Close closes the connections of the setup.
func (p *Setup) Close() error { return p.sink.Close() }

// recognize asks what the receiver is.
func (p *Setup) recognize(ctx context.Context, openSearch bool) (serverless bool, err error) {
	var root struct {
		Version struct {
			Distribution string `json:"distribution"`
			Number       string `json:"number"`
			Flavor       string `json:"build_flavor"`
		} `json:"version"`
	}
	answer, err := p.sink.do(ctx, httpsink.Request{Method: http.MethodGet, Path: "/"})
	if err != nil {
		return false, err
	}
	if !answer.OK() {
		return false, verdict(answer)
	}
	if err := json.Unmarshal(answer.Body, &root); err != nil || root.Version.Number == "" {
		return false, httpsink.NotProtocol("GET / has an answer without a version: %s", httpsink.Clean(string(answer.Body)))
	}
	product, other := "Elasticsearch", "elasticsearch"
	if root.Version.Distribution == "opensearch" {
		product, other = "OpenSearch", "opensearch"
	}
	p.Receiver = product + " " + httpsink.Clean(root.Version.Number)
	if openSearch != (product == "OpenSearch") {
		return false, fmt.Errorf("the receiver is %s; write type: %s", p.Receiver, other)
	}
	return root.Version.Flavor == "serverless", nil
}

// compare adds a change if the receiver does not have a resource as it should be.
func (p *Setup) compare(ctx context.Context, r *resource) error {
	answer, err := p.sink.do(ctx, httpsink.Request{Method: http.MethodGet, Path: r.path})
	if err != nil {
		return err
	}
	change := Change{What: r.what, Name: r.name, Path: r.path, body: r.body}
	words := failureOf(answer.Body).String()
	switch {
	case answer.Status == http.StatusNotFound:
		change.New = true
	case !answer.OK() && r.optional && strings.Contains(words, "no handler found"):
		p.Notes = append(p.Notes, fmt.Sprintf(
			"the receiver knows no %s, so %q is not written: its indices are kept without end", r.what, r.name))
		return nil
	case !answer.OK():
		return fmt.Errorf("cannot read the %s %q: %w", r.what, r.name, verdict(answer))
	default:
		var all any
		if err := json.Unmarshal(answer.Body, &all); err != nil {
			return fmt.Errorf("cannot read the %s %q: %w", r.what, r.name, err)
		}
		have, want := dig(all, r.found...), any(r.body)
		if r.content != "" {
			want = r.body[r.content]
		}
		differ("", plain(want), have, func(line string) { change.Lines = append(change.Lines, line) })
		if len(change.Lines) == 0 {
			return nil
		}
		change.Path += versions(all)
	}
	p.Changes = append(p.Changes, change)
	return nil
}

// versions returns the parameters by which ISM updates a policy: only if nobody else does at
// the same time.
func versions(answer any) string {
	number, term := dig(answer, "_seq_no"), dig(answer, "_primary_term")
	if number == nil || term == nil {
		return ""
	}
	return fmt.Sprintf("?if_seq_no=%.0f&if_primary_term=%.0f", number, term)
}

// Apply makes the changes, in their order. It stops at the first that is refused.
func (p *Setup) Apply(ctx context.Context) error {
	for i := range p.Changes {
		c := &p.Changes[i]
		body, err := json.Marshal(c.body)
		if err != nil {
			return fmt.Errorf("BUG: cannot encode %s %q: %w", c.What, c.Name, err)
		}
		request := httpsink.Request{Method: http.MethodPut, Path: c.Path, Type: jsonType, Body: [][]byte{body}}
		answer, err := p.sink.do(ctx, request)
		if err == nil && !answer.OK() {
			err = fmt.Errorf("status %d: %s", answer.Status, failureOf(answer.Body))
		}
		if err != nil {
			return fmt.Errorf("cannot write the %s %q: %w", c.What, c.Name, err)
		}
	}
	return nil
}

// dig returns what stands at a path of names and places in a JSON value, nil for nothing.
func dig(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			o, _ := v.(object)
			v = o[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				return nil
			}
			v = list[s]
		}
	}
	return v
}

// plain returns a value as encoding/json reads it.
func plain(v any) (read any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		panic("BUG: cannot encode an object of setup: " + err.Error())
	}
	return read
}

// differ reports each part of want that have lacks or has with another value. Receivers
// answer with more than was written, and with numbers and booleans as text.
func differ(path string, want, have any, report func(line string)) {
	switch w := want.(type) {
	case object:
		h, ok := have.(object)
		if !ok && len(w) == 0 {
			report(fmt.Sprintf("+ %s: {}", path))
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			differ(strings.TrimPrefix(path+"."+name, "."), w[name], h[name], report)
		}
		return
	case []any:
		if h, ok := have.([]any); ok && len(h) == len(w) {
			for i := range w {
				differ(fmt.Sprintf("%s[%d]", path, i), w[i], h[i], report)
			}
			return
		}
	default:
		if have != nil && fmt.Sprint(want) == fmt.Sprint(have) {
			return
		}
	}
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	if have == nil {
		report(fmt.Sprintf("+ %s: %s", path, text(want)))
		return
	}
	report(fmt.Sprintf("~ %s: %s -> %s", path, text(have), text(want)))
}
