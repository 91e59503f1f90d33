package generate

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// scenario is an attack to plant.
type scenario struct {
	name  string
	need  time.Duration // from its first call to its last, or until its effect ends
	night bool          // begins between 00:00 and 05:00 UTC
	plant func(p *planner, at int64)
	long  bool // for trails of a week or longer
	blind bool // hides other events
	// live is for a Live: it adds only its own calls, within half an hour, and is found soon,
	// however often it comes.
	live bool
}

// scenarios are the attacks, in order of planting.
func scenarios() []scenario {
	return []scenario{
		{name: "burst", need: 12 * time.Minute, plant: (*planner).burst, live: true},
		{name: "object_sweep", need: 5 * time.Minute, plant: (*planner).objectSweep, live: true},
		{name: "denied_probing", need: 8 * time.Minute, plant: (*planner).deniedProbing, live: true},
		{name: "policy_opened", need: 2 * time.Minute, plant: (*planner).policyOpened, live: true},
		{name: "key_deletion", need: 30 * time.Minute, plant: (*planner).keyDeletion},
		{name: "grant_abuse", need: 30 * time.Minute, plant: (*planner).grantAbuse, live: true},
		{name: "first_use", need: 10 * time.Minute, night: true, plant: (*planner).firstUse},
		{name: "fan_out_keys", need: 8 * time.Minute, plant: (*planner).fanOutKeys},
		{name: "trail_blinded", need: 105 * time.Minute, plant: (*planner).trailBlinded, blind: true},
		{name: "logging_stopped", need: 50 * time.Minute, plant: (*planner).loggingStopped, blind: true},
		{name: "slow_drip", need: drip, plant: (*planner).slowDrip, long: true},
		{name: "refused_own", need: 12 * time.Minute, plant: (*planner).refusedOwn, long: true},
		{name: "cross_account", need: 15 * time.Minute, plant: (*planner).crossAccount, long: true, live: true},
		{name: "stolen_role", need: 22 * time.Minute, plant: (*planner).stolenRole, long: true},
		{name: "off_hours", need: 12 * time.Minute, night: true, plant: (*planner).offHours, long: true},
		{name: "ransom", need: 10 * time.Minute, plant: (*planner).ransom, long: true, live: true},
		{name: "rotation_off", need: 2 * time.Minute, plant: (*planner).rotationOff, long: true, live: true},
		{name: "bucket_sweep", need: 12 * time.Minute, plant: (*planner).bucketSweep, long: true, live: true},
		{name: "fan_in", need: 8 * time.Minute, plant: (*planner).fanIn, long: true},
		// Harmless scenarios come last, so that they avoid the attacks.
		{name: "late_file", need: 4 * time.Hour, plant: (*planner).lateFile, long: true},
		{name: "duplicates", need: 2 * time.Hour, plant: (*planner).duplicates, long: true},
		{name: "reread", need: 17 * time.Hour, plant: (*planner).reread, long: true},
		{name: "deployment", need: 10 * time.Minute, plant: (*planner).deployment, long: true},
		{name: "level_shift", need: 24 * time.Hour, plant: (*planner).levelShift, long: true},
		{name: "new_service", need: 24 * time.Hour, plant: (*planner).newService, long: true},
	}
}

// Scenarios returns the names of all scenarios. If Config.Scenarios is nil, trails of
// less than a week get the first ten, and longer ones all. The last six are harmless.
func Scenarios() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// quietShare and longQuietShare are the shares of Duration before the first attack; the
// latter, for trails of a week and longer, is two fifths.
const quietShare, longQuietShare = 0.6, 0.4

// Quiet returns the time of the earliest possible attack.
func (g *Generator) Quiet() time.Time {
	share := quietShare
	if g.config.long() {
		share = longQuietShare
	}
	return g.config.Start.Add(time.Duration(float64(g.config.Duration) * share))
}

// plant selects the attacks, gives each a part of the last two fifths of the trail, and
// lays them out.
func (g *Generator) plant() error {
	chosen, err := g.chosen()
	if err != nil {
		return err
	}
	r := newRandom(g.config.Seed, streamAttacks)
	if g.config.long() {
		return g.scatter(r, chosen)
	}
	starts, misfit := g.arrange(r, chosen)
	for misfit >= 0 {
		if g.config.Scenarios != nil {
			s := chosen[misfit]
			when := ""
			if s.night {
				when = " between 00:00 and 05:00 UTC"
			}
			return fmt.Errorf("cannot generate a trail: Scenarios has %s, which needs %v%s in its share of the last 40 %% "+
				"of Duration (%v for %d scenarios): lengthen Duration or plant fewer",
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

// chosen returns the scenarios that the Config selects.
func (g *Generator) chosen() (list []scenario, err error) {
	if g.config.Scenarios == nil {
		return slices.DeleteFunc(scenarios(), func(s scenario) bool { return s.long && !g.config.long() }), nil
	}
	for _, name := range g.config.Scenarios {
		s := scenarios()[slices.Index(Scenarios(), name)]
		if s.long && !g.config.long() {
			return nil, fmt.Errorf("cannot generate a trail: Scenarios has %s, which needs a Duration of at least 168h (it "+
				"is %v)", name, g.config.Duration)
		}
		list = append(list, s)
	}
	return list, nil
}

// scatter plants every scenario Config.Repeat times, at any time after the quiet part.
// Those that hide others come first, and the others avoid them.
func (g *Generator) scatter(r random, chosen []scenario) error {
	p := newPlanner(g, r)
	slices.SortStableFunc(chosen, func(a, b scenario) int {
		return cmp.Compare(btoi(b.blind), btoi(a.blind))
	})
	from, to := g.Quiet().Unix(), g.end().Unix()-600
	var hidden []span
	for _, s := range chosen {
		p.scenario = s.name
		for p.n = range g.config.Repeat {
			need := int64(s.need / time.Second)
			at, found := int64(0), false
			for try := 0; try < 10_000 && !found; try++ {
				at = from + r.Int64N(to-need-from)/60*60
				found = (!s.night || at%86400 < 5*3600) && (s.need >= 4*time.Hour ||
					!slices.ContainsFunc(hidden, func(h span) bool { return at < h.to && at+need > h.from }))
			}
			if !found {
				return fmt.Errorf(
					"cannot generate a trail: no time is left for %d times %s in %v: lengthen Duration or repeat less",
					g.config.Repeat, s.name, g.config.Duration)
			}
			s.plant(p, at)
			if s.blind {
				const around = 30 * 60
				hidden = append(hidden, span{at - around, at + need + around})
			}
		}
	}
	p.finish()
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// arrange cuts the time for attacks into equal parts and returns each scenario's start
// (Unix seconds) inside its own part; or the index of one that does not fit, else -1.
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
	for _, night := range []bool{true, false} { // scenarios with constraints choose first
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
	long      bool                // more than one attack of a kind
	n         int                 // how often this scenario was planted before
	spent     map[*principal]bool // actors of earlier attacks
	taken     map[*kmsKey]bool    // targets of earlier attacks
	edges     map[*principal][]*edge
	uses      map[*kmsKey][]*edge
	incidents []*incident
	others    []*call // planted, but not part of an attack
}

// incident is a Label with its calls.
type incident struct {
	Label
	calls []*call
}

func newPlanner(g *Generator, r random) *planner {
	p := &planner{
		g: g, w: g.world, r: r, long: g.config.long(), spent: map[*principal]bool{}, taken: map[*kmsKey]bool{},
		edges: map[*principal][]*edge{}, uses: map[*kmsKey][]*edge{},
	}
	for _, e := range p.w.edges {
		p.edges[e.who] = append(p.edges[e.who], e)
		p.uses[e.key] = append(p.uses[e.key], e)
	}
	return p
}

// incident starts a label. key and who may be nil.
func (p *planner) incident(key *kmsKey, who *principal, note string, kinds ...Kind) *incident {
	i := &incident{Label: Label{Scenario: p.scenario, Kinds: kinds, Note: note}}
	if key != nil {
		i.KeyARN = key.arn
		p.taken[key] = true
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
func (p *planner) finish() { p.g.planted, p.g.labels = p.result() }

// result returns the planned calls and the labels of the incidents, each by time.
func (p *planner) result() (calls []*call, labels []Label) {
	byTime := func(a, b *call) int { return cmp.Compare(a.at, b.at) }
	calls = p.others
	for _, i := range p.incidents {
		slices.SortStableFunc(i.calls, byTime)
		for _, c := range i.calls {
			i.CallIDs = append(i.CallIDs, c.id.String())
		}
		if i.Calls = len(i.calls); i.Calls > 0 && !i.Benign {
			i.Start = time.Unix(i.calls[0].at, 0).UTC()
			i.End = time.Unix(i.calls[i.Calls-1].at+1, 0).UTC()
		}
		calls = append(calls, i.calls...)
		labels = append(labels, i.Label)
	}
	slices.SortStableFunc(calls, byTime)
	slices.SortStableFunc(labels, func(a, b Label) int { return a.Start.Compare(b.Start) })
	return calls, labels
}

// choose returns the cheapest candidate without an earlier attack, or the cheapest of all
// if each has one; the first of equals wins. There must be a candidate.
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

// person returns a random person at a keyboard.
func (p *planner) person() *principal {
	var people []*principal
	for _, c := range p.w.principals {
		if c.flavor == byPerson && (c.kind == isUser || c.kind == isRole) {
			people = append(people, c)
		}
	}
	return p.choose(people, func(c *principal) float64 { return float64(mix(c.seed) >> 11) })
}

// free returns the fitting keys without an earlier attack; if there are none, the fitting
// ones; else all. A nil fits accepts every key.
func (p *planner) free(keys []*kmsKey, fits func(*kmsKey) bool) []*kmsKey {
	var fitting, fresh []*kmsKey
	for _, k := range keys {
		if fits == nil || fits(k) {
			fitting = append(fitting, k)
			if !p.taken[k] {
				fresh = append(fresh, k)
			}
		}
	}
	switch {
	case len(fresh) > 0:
		return fresh
	case len(fitting) > 0:
		return fitting
	}
	return keys
}

// keysOf returns the KMS keys of an account, at least five.
func (p *planner) keysOf(account string) []*kmsKey {
	var keys []*kmsKey
	for _, k := range p.w.keys {
		if k.account == account {
			keys = append(keys, k)
		}
	}
	return keys
}

// expected returns the mean number of background calls on a key in [from, to), or false
// if another account also records some of them.
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
