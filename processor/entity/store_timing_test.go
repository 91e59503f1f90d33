package entity

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"keytrail/schemas/wire"
)

// BenchmarkStore measures a Store of a million entities: the work for one partial of an
// entity that is not unpacked, which finds it, unpacks it, changes a window and packs it
// again; finding it alone; and the memory. CPU is the process's user time, which other
// programs on the machine do not add to.
//
//	go test -run '^$' -bench Store -count 10 ./processor/entity
func BenchmarkStore(b *testing.B) {
	const n = 1_000_000
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()
	name := func(i int) wire.Entity {
		key := fmt.Sprintf("arn:aws:kms:eu-central-1:11112222%04d:key/%08x-1111-4222-8333-444455556666", i%7, i/4)
		role := fmt.Sprintf("arn:aws:iam::11112222%04d:role/service-%d", i%7, i)
		switch i % 4 {
		case 0:
			return wire.Entity{Scope: wire.ScopeKey, Key: key}
		case 1:
			return wire.Entity{Scope: wire.ScopePrincipal, Principal: role}
		}
		return wire.Entity{Scope: wire.ScopePair, Key: key, Principal: role}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, rng := NewStore(Hot), rand.New(rand.NewPCG(1, 1))
	sample := wire.SampleOf("01234567-89ab-4def-8123-456789abcdef")
	change := func(i uint32) {
		ent := s.Get(i)
		w, _ := ent.Place(begin + rng.Int64N(4)*int64(5*time.Minute))
		w.Counters = w.Counters[:0]
		for id := range wire.CounterID(6) {
			w.Counters = append(w.Counters, wire.Counter{ID: id, N: rng.Int64N(1000)})
		}
		w.Sets[wire.SetPeers].Values = []wire.HashCount{{Hash: rng.Uint64(), N: 1}}
		w.Samples = append(w.Samples[:0], sample)
		ent.Stale = true
		s.Trim()
	}
	for i := range n {
		change(s.Add(name(i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	names := make([]wire.Entity, 1<<16)
	for i := range names {
		names[i] = name(rng.IntN(n))
	}
	for kind, op := range map[string]func(e wire.Entity){
		"find":    func(e wire.Entity) { s.Find(e) },
		"partial": func(e wire.Entity) { i, _ := s.Find(e); change(i) },
	} {
		b.Run(kind, func(b *testing.B) {
			start := userTime()
			for i := 0; b.Loop(); i++ {
				op(names[i%len(names)])
			}
			b.ReportMetric(float64(userTime()-start)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/entity")
		})
	}
}

func userTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano()
}
