package generate

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// scenario is an attack that can be planted.
type scenario struct {
	name  string
	need  time.Duration // from its first call to its last, or until its effect ends
	night bool          // begins between 00:00 and 05:00 UTC
	plant func(p *planner, at int64)
}

// scenarios returns the attacks in the order in which they are planted.
func scenarios() []scenario {
	return []scenario{
		{"burst", 12 * time.Minute, false, (*planner).burst},
		{"object_sweep", 5 * time.Minute, false, (*planner).objectSweep},
		{"denied_probing", 8 * time.Minute, false, (*planner).deniedProbing},
		{"policy_opened", 2 * time.Minute, false, (*planner).policyOpened},
		{"key_deletion", 30 * time.Minute, false, (*planner).keyDeletion},
		{"grant_abuse", 30 * time.Minute, false, (*planner).grantAbuse},
		{"first_use", 10 * time.Minute, true, (*planner).firstUse},
		{"fan_out_keys", 8 * time.Minute, false, (*planner).fanOutKeys},
		{"trail_blinded", 105 * time.Minute, false, (*planner).trailBlinded},
		{"logging_stopped", 50 * time.Minute, false, (*planner).loggingStopped},
	}
}

// Scenarios returns the names of the attacks, in the order in which they are
// planted when Config.Scenarios is nil.
func Scenarios() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// quietShare is the share of Duration before the first attack.
const quietShare = 0.6

// plant chooses the attacks, gives each a part of the last two fifths of the
// trail, and lays them out.
func (g *Generator) plant() error {
	chosen := scenarios()
	if g.config.Scenarios != nil {
		chosen = nil
		for _, name := range g.config.Scenarios {
			i := slices.Index(Scenarios(), name)
			chosen = append(chosen, scenarios()[i])
		}
	}
	r := newRandom(g.config.Seed, streamAttacks)
	starts, misfit := g.arrange(r, chosen)
	for misfit >= 0 {
		if g.config.Scenarios != nil {
			s := chosen[misfit]
			when := ""
			if s.night {
				when = " between 00:00 and 05:00 UTC"
			}
			return fmt.Errorf("cannot generate a trail: Scenarios has %s, which needs %v%s in its share of the last 40 %% of Duration (%v for %d scenarios): lengthen Duration or plant fewer",
				s.name, s.need, when, g.config.Duration*2/5, len(chosen))
		}
		chosen = slices.Delete(chosen, misfit, misfit+1)
		r = newRandom(g.config.Seed, streamAttacks)
		starts, misfit = g.arrange(r, chosen)
	}
	p := newPlanner(g, r)
	for i, s := range chosen {
		p.scenario = s.name
		s.plant(p, starts[i])
	}
	p.finish()
	return nil
}

// arrange cuts the time for attacks into equal parts and returns when each
// scenario starts (Unix seconds), inside a part of its own; or the index of one
// that does not fit, else -1.
func (g *Generator) arrange(r random, chosen []scenario) (starts []int64, misfit int) {
	if len(chosen) == 0 {
		return nil, -1
	}
	total := int64(g.config.Duration / time.Second)
	from := g.config.Start.Unix() + int64(float64(total)*quietShare) + 1
	width := (g.config.Start.Unix() + total - min(600, total/50) - from) / int64(len(chosen))
	longest := 0
	for i, s := range chosen {
		if s.need > chosen[longest].need {
			longest = i
		}
	}
	if int64(chosen[longest].need/time.Second) > width {
		return nil, longest
	}
	starts = make([]int64, len(chosen))
	taken := make([]bool, len(chosen)) // parts
	place := func(i, part int, candidates []int64) {
		starts[i], taken[part] = pick(r, candidates), true
	}
	candidates := func(s scenario, part int) (list []int64) {
		begin := from + int64(part)*width
		for at := begin; at <= begin+width-int64(s.need/time.Second); at += 60 {
			if !s.night || at%86400 < 5*3600 {
				list = append(list, at)
			}
		}
		return list
	}
	for _, night := range []bool{true, false} { // those who are choosy choose first
		for i, s := range chosen {
			for part := 0; s.night == night && starts[i] == 0; part++ {
				if part == len(chosen) {
					return nil, i
				}
				if list := candidates(s, part); !taken[part] && len(list) > 0 {
					place(i, part, list)
				}
			}
		}
	}
	return starts, -1
}

// planner lays out the attacks.
type planner struct {
	g         *Generator
	w         *world
	r         random
	scenario  string
	spent     map[*principal]bool // those who did something already
	edges     map[*principal][]*edge
	uses      map[*kmsKey][]*edge
	incidents []*incident
	others    []*call // planted, but nobody's attack
}

// incident is a Label with its calls.
type incident struct {
	Label
	calls []*call
}

func newPlanner(g *Generator, r random) *planner {
	p := &planner{
		g: g, w: g.world, r: r, spent: map[*principal]bool{},
		edges: map[*principal][]*edge{}, uses: map[*kmsKey][]*edge{},
	}
	for _, e := range p.w.edges {
		p.edges[e.who] = append(p.edges[e.who], e)
		p.uses[e.key] = append(p.uses[e.key], e)
	}
	return p
}

// incident begins a label. key and who may be nil.
func (p *planner) incident(key *kmsKey, who *principal, note string, kinds ...Kind) *incident {
	i := &incident{Label: Label{Scenario: p.scenario, Kinds: kinds, Note: note}}
	if key != nil {
		i.KeyARN = key.arn
	}
	if who != nil {
		i.Principal = who.entity()
		p.spent[who] = true
	}
	p.incidents = append(p.incidents, i)
	return i
}

// add plants a call of the incident.
func (p *planner) add(i *incident, c call) {
	c.id, c.requestID = p.r.uuid(), p.r.uuid()
	i.calls = append(i.calls, &c)
}

// finish turns incidents into the generator's labels and planted calls.
func (p *planner) finish() {
	byTime := func(a, b *call) int { return cmp.Compare(a.at, b.at) }
	p.g.planted = p.others
	for _, i := range p.incidents {
		slices.SortStableFunc(i.calls, byTime)
		for _, c := range i.calls {
			i.CallIDs = append(i.CallIDs, c.id.String())
		}
		if i.Calls = len(i.calls); i.Calls > 0 {
			i.Start = time.Unix(i.calls[0].at, 0).UTC()
			i.End = time.Unix(i.calls[i.Calls-1].at+1, 0).UTC()
		}
		p.g.planted = append(p.g.planted, i.calls...)
		p.g.labels = append(p.g.labels, i.Label)
	}
	slices.SortStableFunc(p.g.planted, byTime)
	slices.SortStableFunc(p.g.labels, func(a, b Label) int { return a.Start.Compare(b.Start) })
}

// choose returns the candidate with the least cost that has done nothing yet, or,
// when all have, of all of them; ties go to the one that stands first. There is at
// least one candidate.
func (p *planner) choose(candidates []*principal, cost func(*principal) float64) *principal {
	var best *principal
	for _, fresh := range []bool{true, false} {
		for _, c := range candidates {
			if (!fresh || !p.spent[c]) && (best == nil || cost(c) < cost(best)) {
				best = c
			}
		}
		if best != nil {
			break
		}
	}
	return best
}

// person returns someone who works at a keyboard, by chance.
func (p *planner) person() *principal {
	var people []*principal
	for _, c := range p.w.principals {
		if c.flavor == byPerson && (c.kind == isUser || c.kind == isRole) {
			people = append(people, c)
		}
	}
	return p.choose(people, func(c *principal) float64 { return float64(mix(c.seed) >> 11) })
}

// keysOf returns the KMS keys of an account: there are at least five.
func (p *planner) keysOf(account string) []*kmsKey {
	var keys []*kmsKey
	for _, k := range p.w.keys {
		if k.account == account {
			keys = append(keys, k)
		}
	}
	return keys
}

// expected returns the mean number of background calls on a key in [from, to), or
// false when some of them would be recorded in another account as well.
func (p *planner) expected(k *kmsKey, from, to int64) (mean float64, only bool) {
	only = true
	for _, e := range p.uses[k] {
		for at := from; at < to; at += 60 {
			mean += e.expected(at) / 60
		}
		only = only && !e.crossAccount()
	}
	return mean, only
}
