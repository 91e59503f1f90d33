package awstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// History is a stand-in for LookupEvents, written from the API Reference, because moto
// has no event history: at most 50 events at a time, newest first, both ends of the time
// inclusive, one attribute, and at most two requests a second per region. Its methods are
// safe for concurrent use.
type History struct {
	URL string // the endpoint

	mu      sync.Mutex // guards the following
	events  []recorded
	last    map[string][]time.Time // recent requests by region
	pages   map[string]int         // number of requests for each, except those that came too fast
	failing bool
}

// recorded is one event: what LookupEvents asks for, and its text.
type recorded struct {
	region, service string
	at              time.Time
	text            string
}

// StartHistory starts a History for the duration of a test. Its clients need Environment.
func StartHistory(t *testing.T) *History {
	t.Helper()
	h := &History{last: map[string][]time.Time{}, pages: map[string]int{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.URL = server.URL
	return h
}

// Add adds a CloudTrail record to a region's history.
func (h *History) Add(region, service string, at time.Time, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, recorded{region, service, at, text})
}

// Fail makes the following requests fail, or succeed again.
func (h *History) Fail(failing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = failing
}

// Pages returns how often each page was asked for, except by requests that came too fast.
// The caller must not use it during a request.
func (h *History) Pages() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pages
}

// ServeHTTP answers LookupEvents.
func (h *History) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		StartTime, EndTime float64
		MaxResults         int
		NextToken          string
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	if err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".LookupEvents") {
		refuse(w, "InvalidParameterCombinationException", "not a LookupEvents request")
		return
	}
	region := strings.Split(r.Header.Get("Authorization"), "/")[2] // Credential=ID/DATE/REGION/…
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if l := h.last[region]; len(l) == 2 && now.Sub(l[0]) < time.Second {
		refuse(w, "ThrottlingException", "Rate exceeded")
		return
	}
	page := fmt.Sprint(region, in.StartTime, in.EndTime, in.LookupAttributes, in.NextToken)
	h.pages[page]++
	h.last[region] = append(h.last[region], now)[max(0, len(h.last[region])-1):]
	switch {
	case h.failing:
		refuse(w, "AccessDeniedException", "not now")
		return
	case in.EndTime < in.StartTime:
		refuse(w, "InvalidTimeRangeException", "it ends before it starts")
		return
	case in.MaxResults > 50 || len(in.LookupAttributes) > 1:
		refuse(w, "InvalidMaxResultsException", "too much")
		return
	}
	var found []recorded
	for _, e := range h.events {
		at := float64(e.at.Unix())
		if e.region == region && at >= in.StartTime && at <= in.EndTime &&
			(len(in.LookupAttributes) == 0 || in.LookupAttributes[0].AttributeValue == e.service) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b recorded) int { return b.at.Compare(a.at) })
	begin := 0
	fmt.Sscan(in.NextToken, &begin)
	end := min(len(found), begin+in.MaxResults)
	out := map[string]any{}
	var list []map[string]string
	for _, e := range found[begin:end] {
		list = append(list, map[string]string{"CloudTrailEvent": e.text})
	}
	out["Events"] = list
	if end < len(found) {
		out["NextToken"] = fmt.Sprint(end)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	json.NewEncoder(w).Encode(out)
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}
