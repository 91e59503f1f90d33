package wire

// SetsV1 is the number of sets in windows of that time.
const SetsV1 = 4

// hasBinding was added to a partial's scope when a binding followed the samples.
const hasBinding = 4

// PartialV1 reads a partial as version 1 of frames and versions 1 to 3 of entities
// have it.
func (d *Decoder) PartialV1() (p Partial) {
	scope := d.Uint()
	bound := scope > hasBinding
	if bound {
		scope -= hasBinding
	}
	if p.Scope = d.scope(scope); p.Scope == 0 {
		return p
	}
	p.KeyARN, p.Principal, p.Start = d.String(), d.String(), d.Int()
	if n := d.Count(); n > 0 {
		p.Counters = make([]Counter, n)
		for i := range p.Counters {
			id := d.Uint()
			if id >= uint64(NumCounters) {
				d.fail()
				return p
			}
			p.Counters[i] = Counter{CounterID(id), d.Int()}
		}
	}
	for i := range SetsV1 {
		p.Sets[i].Capped = d.Bool()
		if n := d.Count(); n > 0 {
			p.Sets[i].Values = make([]HashCount, n)
			for j := range p.Sets[i].Values {
				p.Sets[i].Values[j] = HashCount{d.Fixed(), d.Int()}
			}
		}
	}
	if n := d.Count(); n > 0 {
		p.Samples = make([]Sample, n)
		for i := range p.Samples {
			p.Samples[i] = SampleOf(d.String())
		}
	}
	if bound {
		p.Binding = &Binding{Time: d.Int(), ARN: d.String()}
	}
	return p
}
