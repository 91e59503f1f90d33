package lookup

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

	"github.com/aws/aws-sdk-go-v2/aws"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// history is a stand-in for LookupEvents, written from the API Reference, because moto
// has no event history: at most 50 events at a time, newest first, both ends of the time
// inclusive, one attribute, and at most two requests a second per region.
type history struct {
	mu      sync.Mutex // guards the following
	events  []recorded
	last    map[string][]time.Time // recent requests by region
	pages   map[string]int         // number of requests for each, except those that came too fast
	failing bool
}

// recorded is one event.
type recorded struct {
	region, service, id string
	at                  time.Time
}

func (e *recorded) text() string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventTime":%q,"eventSource":%q,"eventName":"Decrypt","awsRegion":%q,"eventID":%q}`,
		e.at.Format(time.RFC3339), e.service, e.region, e.id)
}

// newHistory starts one, and returns it with a configuration for its clients.
func newHistory(t *testing.T) (*history, aws.Config) {
	t.Helper()
	h := &history{last: map[string][]time.Time{}, pages: map[string]int{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return h, cfg
}

func (h *history) add(region, service, id string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, recorded{region: region, service: service, id: id, at: at})
}

func (h *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		StartTime, EndTime float64
		MaxResults         int
		NextToken          string
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".LookupEvents") {
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
		if e.region == region && at >= in.StartTime && at <= in.EndTime && (len(in.LookupAttributes) == 0 || in.LookupAttributes[0].AttributeValue == e.service) {
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
		list = append(list, map[string]string{"EventId": e.id, "CloudTrailEvent": e.text()})
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
