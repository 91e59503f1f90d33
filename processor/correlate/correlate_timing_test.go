package correlate

import (
	"fmt"
	"math"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

// observations are 20,000 matches of one minute in some groups, as a commit has them.
func observations(set *sigma.Rules, groups int) (list []match) {
	for i := range 20_000 {
		c := count.Call{IDText: fmt.Sprintf("aaaaaaaa-bbbb-4ccc-8ddd-%012d", i), Time: 1_700_000_000*second + int64(i)*second/400, Key: "key", Principal: fmt.Sprint("p-", i%groups)}
		o := sigma.Observation{Correlation: set.Correlations[i%2], Group: fmt.Sprint("arn:aws:iam::111122223333:user/", i%groups)}
		list = append(list, match{o, c})
	}
	return list
}

// BenchmarkTable measures the work of stage count per match.
//
//	go test -run '^$' -bench . ./processor/correlate
func BenchmarkTable(b *testing.B) {
	for _, groups := range []int{10, 10_000} {
		b.Run(fmt.Sprint(groups, "groups"), func(b *testing.B) {
			list := observations(load(b, rules), groups)
			var t Table
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m := &list[i%len(list)]
				if t.Add(&m.o, &m.call); i%len(list) == len(list)-1 {
					t.Reset()
				}
			}
		})
	}
}

// What stage detect does for a pane that comes: adding it up, judging its windows in
// time, and writing it into the changelog.
func BenchmarkEngine(b *testing.B) {
	set := load(b, rules)
	var panes []wire.Pane
	var t Table
	for _, m := range observations(set, 1000) {
		t.Add(&m.o, &m.call)
	}
	t.All(func(p *Pane) { panes = append(panes, p.Wire()) })
	var enc wire.Encoder
	var e *Engine
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(panes) == 0 {
			if e != nil {
				e.Advance(to(math.MaxInt64), math.MaxInt, func(*anomaly.Anomaly) {})
				e.Changes(&enc, func(string, []byte) {})
			}
			e = NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt})
		}
		if why := e.Take(&panes[i%len(panes)]); why != Counted {
			b.Fatal(why)
		}
		if i%1000 == 999 {
			e.Changes(&enc, func(string, []byte) {})
		}
	}
}
