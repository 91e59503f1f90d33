package web

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"keytrail/processor/store"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// answers are the functions of the API by their patterns.
func (s *Server) answers() map[string]func(context.Context, *params) (any, error) {
	return map[string]func(context.Context, *params) (any, error){
		"GET /api/v1/overview":       s.overview,
		"GET /api/v1/anomalies":      s.anomalies,
		"GET /api/v1/anomalies/{id}": s.anomaly,
		"GET /api/v1/entity":         s.entity,
		"GET /api/v1/events":         s.events,
		"GET /api/v1/event":          s.event,
		"GET /api/v1/pipeline":       s.pipeline,
	}
}

//go:embed openapi.yaml
var openAPI []byte

// openAPI is GET /api/v1/openapi.yaml, which describes all of them.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.Query()) > 0 {
		fail(w, http.StatusBadRequest, "bad_request", "openapi.yaml has no parameters")
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	s.tagged(w, r, openAPI)
}

// buckets are the widths of a column, in seconds.
var buckets = []int64{60, 300, 600, 900, 1800, 3600, 2 * 3600, 4 * 3600, 6 * 3600, 12 * 3600, day, 7 * day}

// bucket returns the narrowest width of columns, at least that of a window, of which at most
// columns fit.
func bucket(from, until, size, columns int64) int64 {
	for _, b := range buckets {
		if b >= size && (until-from+b-1)/b <= columns {
			return b
		}
	}
	return max(size, (until-from+columns-1)/columns)
}

// span is the period of an answer.
type span struct {
	From   int64 `json:"from"`
	Until  int64 `json:"until"`
	Bucket int64 `json:"bucket_seconds,omitempty"`
}

// overview is GET /api/v1/overview.
func (s *Server) overview(ctx context.Context, p *params) (any, error) {
	from, until, extent, err := s.period(ctx, p)
	if err != nil {
		return nil, err
	}
	v := store.View{Scope: p.choice("scope", "key", "principal", "pair"), Rows: int(p.number("rows", 25, 1, 200)),
		Text: p.text("q")}
	columns := p.number("columns", 144, 1, 2000)
	limit := int(p.number("newest", 20, 0, 200))
	selection := store.Selection{Severity: severity(p), Kind: p.text("kind"), Limit: limit}
	if err := p.problem(); err != nil {
		return nil, err
	}
	width := bucket(from, until, extent.Size, columns)
	from -= from % width
	v.From, v.Until, v.Bucket = from, until, width
	selection.From, selection.Until = from, until
	o, err := s.cfg.Store.Overview(ctx, v)
	if err != nil {
		return nil, err
	}
	newest, err := s.cfg.Store.Anomalies(ctx, selection)
	if err != nil {
		return nil, err
	}
	return map[string]any{"title": s.cfg.Title, "live": s.cfg.Live, "extent": extent, "span": span{from, until, width},
		"scope": v.Scope, "heat": o, "gaps": gaps(o.Calls, from, until, width), "newest": summaries(newest)}, nil
}

// severity returns the least severity that a request wants.
func severity(p *params) int {
	return max(slices.Index(store.Severities[:], p.choice("severity", store.Severities[:]...)), 0)
}

// summary is an anomaly in a list.
type summary struct {
	ID       string  `json:"id"`
	Severity string  `json:"severity"`
	Kind     string  `json:"kind"`
	Detector string  `json:"detector"`
	State    string  `json:"state"`
	Score    float64 `json:"score"`
	Start    string  `json:"start"`
	End      string  `json:"end"`
	Sentence string  `json:"sentence"`
	store.Entity
}

func summarize(rec *otellog.Record) summary {
	v := summary{ID: rec.Str(semconv.KeytrailAnomalyID), Severity: rec.Str(semconv.KeytrailAnomalySeverity),
		Kind: rec.Str(semconv.KeytrailAnomalyKind), Detector: rec.Str(semconv.KeytrailAnomalyDetector),
		State: rec.Str(semconv.KeytrailAnomalyState), Start: rec.Str(semconv.KeytrailWindowStart),
		End: rec.Str(semconv.KeytrailWindowEnd), Sentence: rec.Str(semconv.KeytrailAnomalyReason),
		Entity: store.EntityOf(rec)}
	if a := rec.Get(semconv.KeytrailAnomalyScore); a != nil {
		v.Score = a.Num + float64(a.Int)
	}
	return v
}

func summaries(list []store.Listed) []summary {
	found := make([]summary, 0, len(list))
	for _, l := range list {
		found = append(found, summarize(l.Record))
	}
	return found
}

// anomalies is GET /api/v1/anomalies.
func (s *Server) anomalies(ctx context.Context, p *params) (any, error) {
	from, until, _, err := s.period(ctx, p)
	if err != nil {
		return nil, err
	}
	q := store.Selection{From: from, Until: until, Severity: severity(p), Kind: p.text("kind"),
		Limit: int(p.number("limit", 50, 1, 500))}
	if page := p.text("page"); page != "" {
		if n, err := fmt.Sscanf(page, "%d-%d", &q.Before, &q.After); n != 2 || err != nil {
			p.wrong("page is %q, want the value of \"next\" in an answer", page)
		}
	}
	if err := p.problem(); err != nil {
		return nil, err
	}
	list, err := s.cfg.Store.Anomalies(ctx, q)
	if err != nil {
		return nil, err
	}
	next := ""
	if n := len(list); n == q.Limit {
		start, err := time.Parse(time.RFC3339, list[n-1].Record.Str(semconv.KeytrailWindowStart))
		if err == nil {
			next = fmt.Sprintf("%d-%d", start.Unix(), list[n-1].Number)
		}
	}
	return map[string]any{"span": span{From: from, Until: until}, "anomalies": summaries(list), "next": next}, nil
}

// before and after are the windows that the series of an anomaly has around its own.
const before, after = 72, 24

// anomaly is GET /api/v1/anomalies/{id}.
func (s *Server) anomaly(ctx context.Context, p *params) (any, error) {
	a, err := s.cfg.Store.Anomaly(ctx, p.path("id"))
	if err != nil {
		return nil, err
	}
	start, err := time.Parse(time.RFC3339, a.Record.Str(semconv.KeytrailWindowStart))
	if err != nil {
		return nil, err
	}
	end, err := time.Parse(time.RFC3339, a.Record.Str(semconv.KeytrailWindowEnd))
	if err != nil {
		return nil, err
	}
	extent, err := s.cfg.Store.Extent(ctx)
	if err != nil {
		return nil, err
	}
	size := end.Unix() - start.Unix()
	from, until := start.Unix()-before*size, min(start.Unix()+(after+1)*size, max(extent.Until, end.Unix()))
	points, err := s.cfg.Store.Windows(ctx, a.Entity, size, max(from, extent.First), until)
	if err != nil {
		return nil, err
	}
	around, err := s.series(ctx, extent.Size, size, max(from, extent.First), until, points)
	if err != nil {
		return nil, err
	}
	calls, err := s.calls(ctx, a.Record, start.Add(-time.Hour), end.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"anomaly": summarize(a.Record), "attributes": attributes(a.Record.Attrs), "resource": attributes(a.Record.Resource),
		"series": around,
		"calls":  calls, "same_key": summaries(a.OfKey), "same_principal": summaries(a.OfPrincipal),
	}, nil
}

// called is one call of an anomaly and its records: copies are several records.
type called struct {
	Call   string        `json:"call"`
	Events []store.Event `json:"events"`
}

// calls finds the records of an anomaly's calls.
func (s *Server) calls(ctx context.Context, rec *otellog.Record, from, until time.Time) ([]called, error) {
	list := []called{}
	ids := rec.Get(semconv.KeytrailAnomalyCalls)
	if ids == nil {
		return list, nil
	}
	for _, id := range ids.Strs {
		found, err := s.cfg.Store.Events(ctx, store.Search{From: from.UnixMilli(), Until: until.UnixMilli(), Call: id,
			Limit: 4,
			Scan:  maxScan})
		if err != nil {
			return nil, err
		}
		list = append(list, called{id, found.Events})
	}
	return list, nil
}

// attributes returns attributes as a JSON object.
func attributes(list []otellog.Attr) map[string]any {
	m := make(map[string]any, len(list))
	for i := range list {
		switch a := &list[i]; a.Kind {
		case otellog.KindString:
			m[a.Key] = a.Str
		case otellog.KindInt:
			m[a.Key] = a.Int
		case otellog.KindDouble:
			m[a.Key] = a.Num
		case otellog.KindBool:
			m[a.Key] = a.Int != 0
		case otellog.KindStrings:
			m[a.Key] = a.Strs
		}
	}
	return m
}

// entity is GET /api/v1/entity.
func (s *Server) entity(ctx context.Context, p *params) (any, error) {
	from, until, extent, err := s.period(ctx, p)
	if err != nil {
		return nil, err
	}
	e := store.Entity{Scope: p.choice("scope", "key", "principal", "pair"), Key: p.text("key"),
		Principal: p.text("principal")}
	columns := p.number("columns", 288, 1, 2000)
	if (e.Scope != "principal") != (e.Key != "") || (e.Scope != "key") != (e.Principal != "") {
		p.wrong("scope %s needs the parameters of its names, key or principal, and no other", e.Scope)
	}
	if err := p.problem(); err != nil {
		return nil, err
	}
	id, err := s.cfg.Store.EntityID(ctx, e)
	if err != nil {
		return nil, err
	}
	first, last, err := s.cfg.Store.Ends(ctx, id, extent.Size)
	if err != nil {
		return nil, err
	}
	points, err := s.cfg.Store.Windows(ctx, id, extent.Size, from, until)
	if err != nil {
		return nil, err
	}
	peers, more := []store.Peer{}, false
	if e.Scope != "pair" {
		if peers, more, err = s.cfg.Store.Peers(ctx, e, extent.Size, from, until); err != nil {
			return nil, err
		}
	}
	list, err := s.cfg.Store.OfEntity(ctx, e, from, until, 100)
	if err != nil {
		return nil, err
	}
	width := bucket(from, until, extent.Size, columns)
	over, err := s.series(ctx, extent.Size, width, from-from%width, until, gather(points, width))
	if err != nil {
		return nil, err
	}
	classes, contexts := split(store.Sums(points))
	return map[string]any{"entity": e, "extent": extent, "span": span{from, until, width}, "first": first, "last": last,
		"series":     over,
		"operations": classes, "contexts": contexts, "peers": peers[:min(len(peers), 100)], "more_peers": more || len(peers) > 100,
		"anomalies": summaries(list)}, nil
}

// split separates the counts of operations and of contexts, named without their prefixes.
func split(sums map[string]int64) (classes, contexts map[string]int64) {
	classes, contexts = map[string]int64{}, map[string]int64{}
	for name, n := range sums {
		if class, ok := strings.CutPrefix(name, "keytrail.window.calls."); ok && class != "direct" && class != "service" {
			classes[class] = n
		} else if context, ok := strings.CutPrefix(name, "keytrail.window.context."); ok {
			contexts[context] = n
		}
	}
	return classes, contexts
}

// maxScan bounds the events that one search looks at.
const maxScan = 5_000_000

// events is GET /api/v1/events.
func (s *Server) events(ctx context.Context, p *params) (any, error) {
	from, until, _, err := s.period(ctx, p)
	if err != nil {
		return nil, err
	}
	q := store.Search{From: from * 1000, Until: until * 1000, Key: p.text("key"), Principal: p.text("principal"),
		Operation: p.text("operation"), Outcome: p.text("outcome"), Error: p.text("error"), Address: p.text("address"),
		Context: p.text("context"), Text: p.text("q"), Limit: int(p.number("limit", 100, 1, 1000)), Scan: maxScan}
	if err := p.problem(); err != nil {
		return nil, err
	}
	found, err := s.cfg.Store.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	return map[string]any{"span": span{From: from, Until: until}, "found": found}, nil
}

// event is GET /api/v1/event.
func (s *Server) event(ctx context.Context, p *params) (any, error) {
	at := store.Place{Object: p.number("object", 0, 0, 1<<62), Offset: p.number("offset", 0, 0, 1<<62)}
	if err := p.problem(); err != nil {
		return nil, err
	}
	if s.cfg.Event == nil {
		return nil, &problem{http.StatusNotFound, "not_found", "this server cannot read events"}
	}
	rec, err := s.cfg.Event(ctx, at)
	if err != nil {
		return nil, &problem{http.StatusNotFound, "not_found", "cannot read the event again: " + err.Error()}
	}
	return map[string]any{"place": at, "time_ms": rec.Time / 1e6, "name": rec.EventName,
		"attributes": attributes(rec.Attrs),
		"resource":   attributes(rec.Resource), "body": rec.Body}, nil
}

// pipeline is GET /api/v1/pipeline.
func (s *Server) pipeline(ctx context.Context, p *params) (any, error) {
	extent, err := s.cfg.Store.Extent(ctx)
	answer := map[string]any{"title": s.cfg.Title, "live": s.cfg.Live, "extent": extent, "pipeline": nil}
	if err == nil && s.cfg.Pipeline != nil {
		answer["pipeline"] = s.cfg.Pipeline()
	}
	return answer, err
}
