package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"keytrail/processor/telemetry"
)

// commitMetric measures how long Keytrail's stages take to end a transaction: until their
// records are acknowledged, and committed with the offsets.
const commitMetric = "keytrail_stage_commit_seconds"

// commits are a stage's committed transactions, by duration.
type commits struct {
	bounds []float64 // of the buckets, seconds, rising; the last one is infinite
	counts []uint64  // transactions of at most a bound
}

// freeAddress returns an unused address of the loopback interface.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// scrape reads the commits by stage from an installation's running process.
func (in *installation) scrape(ctx context.Context) (map[string]commits, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.metrics+telemetry.Path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return parseCommits(resp.Body)
}

// parseCommits reads the commits by stage from Prometheus' text.
func parseCommits(text io.Reader) (map[string]commits, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, err
	}
	all := map[string]commits{}
	for _, m := range families[commitMetric].GetMetric() {
		var c commits
		for _, b := range m.GetHistogram().GetBucket() {
			c.bounds, c.counts = append(c.bounds, b.GetUpperBound()), append(c.counts, b.GetCumulativeCount())
		}
		all[label(m, "stage")] = c
	}
	return all, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// total is the number of transactions.
func (c commits) total() uint64 {
	if len(c.counts) == 0 {
		return 0
	}
	return c.counts[len(c.counts)-1]
}

// since returns the transactions after an earlier look.
func (c commits) since(before commits) commits {
	after := commits{bounds: c.bounds, counts: append([]uint64(nil), c.counts...)}
	for i := range before.counts { // the buckets are the same in one process
		after.counts[i] -= before.counts[i]
	}
	return after
}

// atMost returns the upper bound of the bucket of a percentile, in milliseconds.
func (c commits) atMost(percent uint64) string {
	total := c.total()
	for i, n := range c.counts {
		switch {
		case total == 0 || n*100 < total*percent:
		case math.IsInf(c.bounds[i], 1) && i > 0:
			return fmt.Sprintf("over %.0f", 1000*c.bounds[i-1])
		default:
			return fmt.Sprintf("%.0f", 1000*c.bounds[i])
		}
	}
	return "-"
}

// commitRows are the rows of one run in the table of commits: one per stage that ran, in
// an event's order, which is also alphabetical.
func commitRows(run string, all map[string]commits) (rows [][]string) {
	for _, stage := range slices.Sorted(maps.Keys(all)) {
		c := all[stage]
		rows = append(rows, []string{fmt.Sprint(c.total()), c.atMost(50), c.atMost(99), run + ": " + stage})
	}
	return rows
}

// commitTable prints them.
func commitTable(out io.Writer, rows [][]string) {
	table(out, "Commits: from the last record of a transaction to the answer that it is committed",
		strings.Split("commits,p50 at most ms,p99 at most ms,", ","), rows,
		"Upper bounds: of the buckets of "+commitMetric+".")
}
