package generate

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// profile is the relative rate in each hour of the week, from Monday 00:00 UTC,
// with mean 1.
type profile [168]float64

// newProfile makes a profile from a shape over hour of day and weekend.
func newProfile(shape func(hour int, weekend bool) float64) *profile {
	var p profile
	sum := 0.0
	for i := range p {
		p[i] = shape(i%24, i >= 5*24)
		sum += p[i]
	}
	for i := range p {
		p[i] *= float64(len(p)) / sum
	}
	return &p
}

// at returns the relative rate in the hour that holds a Unix second.
func (p *profile) at(second int64) float64 {
	const thursday = 3 * 24 // 1970-01-01
	return p[(second/3600+thursday)%168]
}

// phases is the number of time zones, from three hours before UTC to three after.
const phases = 7

var (
	appProfiles    [phases]*profile // programs that serve people: a daily wave, quieter weekends
	officeProfiles [phases]*profile // people: working hours
	flatProfile    = newProfile(func(int, bool) float64 { return 1 })
)

func init() {
	for i := range phases {
		appProfiles[i] = newProfile(func(hour int, weekend bool) float64 {
			rate := 1 + 0.6*math.Cos(2*math.Pi*float64(hour-15-i+3)/24)
			if weekend {
				rate *= 0.7
			}
			return rate
		})
		officeProfiles[i] = newProfile(func(hour int, weekend bool) float64 {
			switch local := (hour + i - 3 + 24) % 24; {
			case weekend || local < 7 || local >= 20:
				return 0.03
			case local < 9 || local >= 18:
				return 0.3
			}
			return 1
		})
	}
}

// rhythm is the distribution of an edge's calls in time.
type rhythm uint8

const (
	noisy  rhythm = iota // Poisson with log-normal noise on its rate
	batch                // all calls of an hour or a day within minutes
	steady               // nearly equal steps
)

// keyForm is the form in which an edge's requests name their key.
type keyForm uint8

const (
	byARN keyForm = iota
	byID
	byAlias
	byAliasARN
)

// edge is one principal's use of one key.
type edge struct {
	who   *principal
	key   *kmsKey
	admin bool // looks after the key rather than using it

	rhythm  rhythm
	rate    float64 // mean calls an hour
	profile *profile
	daily   bool   // batch: once a day, not once an hour
	offset  int64  // batch: seconds into the hour or day; steady: into the step
	seed    uint64 // for the noise
	// Standard deviations of the logarithm of the noise.
	dayNoise, hourNoise, slotNoise float64
	// The level changes linearly to levelEnd times the rate in this span.
	level    span
	levelEnd float64

	form    keyForm
	objects int // distinct encryption contexts in use

	// What changes in long trails: see changes.go.
	since   int64   // Unix seconds of the first call; 0: it was always there
	fixed   float64 // calls an hour, independent of the others; 0: by scaleRates
	regimes bool    // the level jumps every few hours or days
	deploys bool    // restarts in working hours and reads everything again
}

// addEdge makes an edge. Its rate is a weight until scaleRates.
func (w *world) addEdge(r random, p *principal, k *kmsKey, admin bool) {
	e := &edge{
		who: p, key: k, admin: admin, seed: r.Uint64(), rate: 1, profile: flatProfile, levelEnd: 1,
		dayNoise: 0.1 + 0.1*r.Float64(), hourNoise: 0.1 + 0.3*r.Float64(), slotNoise: 0.1 + 0.4*r.Float64(),
		form:    pick(r, []keyForm{byARN, byARN, byARN, byARN, byARN, byID, byID, byAlias, byAlias, byAliasARN}),
		objects: r.between(3, 40),
	}
	if p.account != k.account {
		e.form = byARN // the only form that reaches another account's key
	}
	if k.purpose == forSSM || k.purpose == forSecrets || k.purpose == forEBS {
		e.objects = r.between(2, 6)
	}
	switch p.kind {
	case isRoot, isInternal: // rare: see scaleRates
	case isService:
		if r.chance(0.6) {
			e.rhythm, e.offset = steady, int64(r.IntN(3600))
		}
	default:
		e.profile = appProfiles[r.IntN(phases)]
		if p.flavor == byPerson {
			e.profile = officeProfiles[r.IntN(phases)]
			e.slotNoise += 0.4
		} else {
			e.chooseRhythm(r)
		}
		k.edges++
	}
	w.edges = append(w.edges, e)
}

// chooseRhythm makes some programs batch jobs and machines.
func (e *edge) chooseRhythm(r random) {
	switch u := r.Float64(); {
	case u < 0.07:
		e.rhythm, e.profile, e.offset = batch, flatProfile, int64(r.IntN(50*60))
	case u < 0.10:
		e.rhythm, e.profile, e.offset, e.daily = batch, flatProfile, int64(r.IntN(24)*3600+r.IntN(50*60)), true
	case u < 0.25:
		e.rhythm, e.profile, e.offset = steady, flatProfile, int64(r.IntN(3600))
	}
}

// shares of the background events by kind of principal
var shares = map[kind]float64{isRole: 0.60, isService: 0.20, isUser: 0.15, isFederated: 0.05}

// naturalRate is the calls an hour per principal if Config.Events is 0.
const naturalRate = 20

// scaleRates gives each edge its mean rate: Zipf-like within its kind of principal, with
// the Config's sum.
func (w *world) scaleRates(r random, c Config) {
	hours := c.Duration.Hours()
	total := float64(c.Events)
	if c.Events == 0 {
		total = naturalRate * hours * float64(c.Principals)
	}
	groups := map[kind][]*edge{}
	for _, e := range w.edges {
		groups[e.who.kind] = append(groups[e.who.kind], e)
	}
	sums := map[*profile]float64{}
	for _, kind := range []kind{isRole, isUser, isFederated, isService} {
		edges := groups[kind]
		expected := 0.0
		for rank, i := range r.Perm(len(edges)) {
			e := edges[i]
			e.rate = 1 / math.Pow(float64(rank+1), 0.9)
			if sums[e.profile] == 0 {
				sums[e.profile] = e.profile.sum(c)
			}
			copies := 1.0
			if e.crossAccount() {
				copies = 2
			}
			expected += e.rate * sums[e.profile] * copies
		}
		for _, e := range edges {
			e.rate *= shares[kind] * total / expected
		}
	}
	for _, e := range groups[isRoot] {
		e.rate = 1.0 / (5 * 24) // root: once in five days
	}
	for _, e := range groups[isInternal] {
		e.rate = 1.0 / (10 * 24) // KMS itself: once in ten days for each key
		if c.long() && !strings.HasPrefix(e.key.id, "mrk-") {
			e.rate = 1.0 / (180 * 24) // a rotation, if the trail is long enough for real trails' rarity
		}
	}
	for _, e := range w.edges {
		if e.fixed > 0 {
			e.rate = e.fixed
		}
	}
	w.changeLevels(r, c)
}

// sum adds up a profile over the hours of the trail.
func (p *profile) sum(c Config) float64 {
	sum := 0.0
	for at := c.Start; at.Before(c.Start.Add(c.Duration)); at = at.Add(time.Hour) {
		left := c.Start.Add(c.Duration).Sub(at).Hours()
		sum += p.at(at.Unix()) * min(1, left)
	}
	return sum
}

// changeLevels changes a few edges for good reasons: Bucket Keys turned on (fewer calls
// from one hour to the next) and slow growth.
func (w *world) changeLevels(r random, c Config) {
	from := c.Start.Unix()
	for _, e := range w.edges {
		if e.rhythm != noisy || e.who.kind != isRole {
			continue
		}
		switch u := r.Float64(); {
		case u < 0.03 && e.key.purpose == forS3:
			at := from + int64(c.Duration.Seconds()*(0.2+0.6*r.Float64()))
			e.level, e.levelEnd = span{at, at + 3600}, 0.2
		case u > 0.97:
			e.level, e.levelEnd = span{from, from + int64(c.Duration.Seconds())}, 1.5
		}
	}
}

// crossAccount reports whether two accounts record the edge's calls.
func (e *edge) crossAccount() bool {
	return e.who.account != "" && e.who.account != e.key.account
}

// expected returns the mean rate at a Unix second, in calls an hour, without noise.
func (e *edge) expected(second int64) float64 {
	done := float64(second-e.level.from) / float64(max(1, e.level.to-e.level.from))
	return e.rate * e.profile.at(second) * e.regime(second) * (1 + (e.levelEnd-1)*min(1, max(0, done)))
}

// poisson draws from the Poisson distribution: by products of uniform numbers, or above
// 30 by the normal approximation.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 30 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	n, limit := 0, math.Exp(-mean)
	for p := r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// noise returns a log-normal factor with mean 1 derived from x.
func noise(x uint64, sigma float64) float64 {
	u1 := (float64(mix(x)>>11) + 0.5) / (1 << 53)
	u2 := float64(mix(x+0x9e3779b97f4a7c15)>>11) / (1 << 53)
	normal := math.Sqrt(-2*math.Log(u1)) * math.Cos(2*math.Pi*u2) // Box and Muller
	return math.Exp(sigma*normal - sigma*sigma/2)
}

// appendTimes appends the Unix seconds of the edge's calls in [from, from+3600).
func (e *edge) appendTimes(dst []int64, r random, from int64) []int64 {
	if from+3600 <= e.since {
		return dst
	}
	if e.deploys && e.rate > 5 { // rarer callers would consist of deployments only
		dst = e.appendDeployment(dst, r, from)
	}
	switch e.rhythm {
	case steady:
		return e.appendSteps(dst, from)
	case batch:
		return e.appendBatch(dst, r, from)
	}
	hourly := e.expected(from) * noise(e.seed^uint64(from/86400), e.dayNoise) * noise(e.seed^uint64(from), e.hourNoise)
	const slot = 300
	for start := from; start < from+3600; start += slot {
		mean := hourly / (3600 / slot) * noise(e.seed^uint64(start)<<20, e.slotNoise)
		for range poisson(r.Rand, mean) {
			dst = append(dst, start+int64(r.IntN(slot)))
		}
	}
	return dst
}

// appendSteps appends times that are one step apart, give or take a tenth.
func (e *edge) appendSteps(dst []int64, from int64) []int64 {
	step := 3600 / e.rate
	for k := math.Ceil(float64(from-e.offset) / step); ; k++ {
		at := float64(e.offset) + k*step
		if int64(math.Floor(at)) >= from+3600 {
			return dst
		}
		jitter := step * 0.1 * (float64(mix(e.seed^uint64(k))>>11)/(1<<53) - 0.5)
		dst = append(dst, min(from+3599, max(from, int64(at+jitter))))
	}
}

// appendBatch appends one run: its calls come within three minutes an hour, or
// ten minutes a day.
func (e *edge) appendBatch(dst []int64, r random, from int64) []int64 {
	period, width := int64(3600), 180
	if e.daily {
		period, width = 86400, 600
	}
	start := from - from%period + e.offset
	if start < from {
		start += period
	}
	if start >= from+3600 {
		return dst
	}
	mean := e.rate * float64(period) / 3600 * noise(e.seed^uint64(from), 0.1)
	for range poisson(r.Rand, mean) {
		dst = append(dst, min(from+3599, start+int64(r.IntN(width))))
	}
	return dst
}
