package scan

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
)

// pool collects facts, and returns them deduplicated and in order of time. Up to maxFacts
// stay in memory; more go to temporary files, split by call id so that all copies of a
// call are in one file. Each file is deduplicated and sorted by itself, so memory does
// not depend on the trail's size.
//
// maxFacts * 96 bytes are 96 MB. Sorting one file takes as much again, at most: 10
// million events are 64 files of 156,000 facts, 15 MB each.
type pool struct {
	mu    sync.Mutex
	facts []fact
	max   int
	names *names // of the facts
	dir   string // of the temporary files; "" until there are any
	files [files]*spill
	total int
}

const (
	files    = 64
	maxFacts = 1_000_000
)

// spill is one temporary file of facts.
type spill struct {
	f *os.File
	w *bufio.Writer
	n int
}

// add adds a batch of facts. Safe for concurrent use.
func (p *pool) add(batch []fact) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.facts = append(p.facts, batch...)
	p.total += len(batch)
	if len(p.facts) < p.max {
		return nil
	}
	return p.flush()
}

// flush moves the facts in memory to the files.
func (p *pool) flush() error {
	if p.dir == "" {
		dir, err := os.MkdirTemp("", "keytrail-scan-")
		if err != nil {
			return fmt.Errorf("cannot create a temporary directory for %d calls: %w", len(p.facts), err)
		}
		p.dir = dir
		for i := range p.files {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("calls-%02d", i)))
			if err != nil {
				return fmt.Errorf("cannot create a temporary file: %w", err)
			}
			p.files[i] = &spill{f: f, w: bufio.NewWriterSize(f, 64<<10)}
		}
	}
	for i := range p.facts {
		f := &p.facts[i]
		// The middle of a UUID contains its version; the ends are random.
		s := p.files[(f.id[0]^f.id[15])%files]
		if _, err := s.w.Write(asBytes(p.facts[i : i+1])); err != nil {
			return fmt.Errorf("cannot write %s: %w", s.f.Name(), err)
		}
		s.n++
	}
	p.facts = p.facts[:0]
	return nil
}

// close removes the temporary files.
func (p *pool) close() {
	for _, s := range p.files {
		if s != nil {
			s.f.Close()
		}
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// distinct removes all but the counting copy of each call, completes that from the
// others, and sorts the result by time.
func distinct(facts []fact, n *names) []fact {
	sort.Slice(facts, func(i, j int) bool { return byCall(&facts[i], &facts[j]) < 0 })
	kept := 0
	for i := range facts {
		if i > 0 && facts[i].id == facts[kept-1].id {
			if facts[kept-1].flags&flagOpen != 0 {
				facts[kept-1].complete(&facts[i], n)
			}
			continue
		}
		facts[kept] = facts[i]
		kept++
	}
	facts = facts[:kept]
	// A total order, so the calls that count for "others" do not depend on the order of
	// reading, except for names beyond the scan's bound.
	sort.Slice(facts, func(i, j int) bool {
		a, b := &facts[i], &facts[j]
		return cmp.Or(cmp.Compare(a.time, b.time), bindingsFirst(a, b), bytes.Compare(a.id[:], b.id[:])) < 0
	})
	return facts
}

// bindingsFirst orders a binding before the calls of its time, which may need it.
func bindingsFirst(a, b *fact) int {
	return cmp.Compare(b.flags&flagBinding, a.flags&flagBinding)
}

// each calls f for every distinct call in order of time, and returns their number.
func (p *pool) each(f func(*fact) error) (int, error) {
	if p.dir == "" {
		facts := distinct(p.facts, p.names)
		for i := range facts {
			if err := f(&facts[i]); err != nil {
				return 0, err
			}
		}
		return len(facts), nil
	}
	if err := p.flush(); err != nil {
		return 0, err
	}
	p.facts = nil
	var runs runHeap
	calls := 0
	for _, s := range p.files {
		if err := s.sort(p.names); err != nil {
			return 0, err
		}
		r := &run{r: bufio.NewReaderSize(s.f, 64<<10), left: s.n}
		calls += s.n
		if ok, err := r.next(); err != nil {
			return 0, err
		} else if ok {
			runs = append(runs, r)
		}
	}
	heap.Init(&runs)
	for len(runs) > 0 {
		r := runs[0]
		if err := f(&r.head[0]); err != nil {
			return 0, err
		}
		ok, err := r.next()
		if err != nil {
			return 0, err
		}
		if ok {
			heap.Fix(&runs, 0)
		} else {
			heap.Pop(&runs)
		}
	}
	return calls, nil
}

// sort reads the file's facts, deduplicates and sorts them, and writes them
// back.
func (s *spill) sort(n *names) error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.f.Name(), err)
	}
	facts := make([]fact, s.n)
	if _, err := s.f.ReadAt(asBytes(facts), 0); err != nil && err != io.EOF {
		return fmt.Errorf("cannot read %s: %w", s.f.Name(), err)
	}
	facts = distinct(facts, n)
	s.n = len(facts)
	if _, err := s.f.WriteAt(asBytes(facts), 0); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.f.Name(), err)
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("cannot read %s: %w", s.f.Name(), err)
	}
	return nil
}

// run reads a sorted file fact by fact.
type run struct {
	r    *bufio.Reader
	left int
	head [1]fact
}

func (r *run) next() (bool, error) {
	if r.left == 0 {
		return false, nil
	}
	r.left--
	if _, err := io.ReadFull(r.r, asBytes(r.head[:])); err != nil {
		return false, fmt.Errorf("cannot read a temporary file: %w", err)
	}
	return true, nil
}

// runHeap orders runs by the time of their next fact.
type runHeap []*run

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	a, b := &h[i].head[0], &h[j].head[0]
	return cmp.Or(cmp.Compare(a.time, b.time), bindingsFirst(a, b)) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}
