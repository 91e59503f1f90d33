package ack

import "slices"

// Range is the numbers from From to To, without To.
type Range struct{ From, To uint64 }

// Len is how many numbers r holds.
func (r Range) Len() uint64 { return r.To - r.From }

// Ranges is a set of numbers as sorted ranges that neither overlap nor touch. The zero
// value is an empty set. It is not safe for concurrent use.
type Ranges struct{ list []Range }

// Len is the number of ranges, 16 bytes each.
func (s *Ranges) Len() int { return len(s.list) }

// List returns the ranges in order. It is the set's own; the caller must not change it
// and must not use it after a change of the set.
func (s *Ranges) List() []Range { return s.list }

// at returns the index of the first range that ends behind n.
func (s *Ranges) at(n uint64) int {
	i, _ := slices.BinarySearchFunc(s.list, n, func(r Range, n uint64) int {
		if r.To <= n {
			return -1
		}
		return 1
	})
	return i
}

// Add adds the numbers of r. An empty range adds nothing.
func (s *Ranges) Add(r Range) {
	if r.From >= r.To {
		return
	}
	if last := len(s.list) - 1; last >= 0 && s.list[last].To == r.From { // as nearly always
		s.list[last].To = r.To
		return
	}
	i := s.at(r.From)
	if i > 0 && s.list[i-1].To == r.From {
		i--
	}
	j := i // behind the last range that r meets
	for j < len(s.list) && s.list[j].From <= r.To {
		r = Range{min(r.From, s.list[j].From), max(r.To, s.list[j].To)}
		j++
	}
	s.list = slices.Replace(s.list, i, j, r)
}

// Remove removes the numbers of r.
func (s *Ranges) Remove(r Range) {
	if r.From >= r.To {
		return
	}
	i := s.at(r.From)
	j := i
	var rest [2]Range
	n := 0
	for ; j < len(s.list) && s.list[j].From < r.To; j++ {
		if s.list[j].From < r.From {
			rest[n] = Range{s.list[j].From, r.From}
			n++
		}
		if s.list[j].To > r.To {
			rest[n] = Range{r.To, s.list[j].To}
			n++
		}
	}
	s.list = slices.Replace(s.list, i, j, rest[:n]...)
}

// Subtract removes the numbers of o.
func (s *Ranges) Subtract(o *Ranges) {
	if len(s.list) == 0 {
		return
	}
	end := s.list[len(s.list)-1].To
	for _, r := range o.list[o.at(s.list[0].From):] {
		if r.From >= end {
			return
		}
		s.Remove(r)
	}
}

// Covers reports whether every number of r is in the set.
func (s *Ranges) Covers(r Range) bool {
	if r.From >= r.To {
		return true
	}
	i := s.at(r.From)
	return i < len(s.list) && s.list[i].From <= r.From && s.list[i].To >= r.To
}

// Meets reports whether any number of r is in the set.
func (s *Ranges) Meets(r Range) bool {
	i := s.at(r.From)
	return i < len(s.list) && s.list[i].From < r.To
}

// Missing adds the numbers of r that are not in the set to dst.
func (s *Ranges) Missing(dst *Ranges, r Range) {
	for i := s.at(r.From); r.From < r.To; i++ {
		if i == len(s.list) || s.list[i].From >= r.To {
			dst.Add(r)
			return
		}
		dst.Add(Range{r.From, s.list[i].From})
		r.From = max(r.From, s.list[i].To)
	}
}

// Limit makes the set at most max ranges by adding the numbers between those that it
// joins: the result holds every number that the set held. max is at least 1.
func (s *Ranges) Limit(max int) {
	if len(s.list) > max {
		s.list[max-1].To = s.list[len(s.list)-1].To
		s.list = s.list[:max]
	}
}

// Drop makes the set at most max ranges by forgetting those with the lowest numbers.
func (s *Ranges) Drop(max int) {
	if n := len(s.list) - max; n > 0 {
		s.list = slices.Delete(s.list, 0, n)
	}
}
