package entity

import (
	"math"
	"slices"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Habits are an entity's known behavior, beside its baseline. The zero value has learned
// nothing. Everything in it is bounded.
type Habits struct {
	Used     bool     // the principal has used the KMS key; scope pair
	Tried    bool     // it has tried to, and was refused or failed; scope pair
	Tops     Tops     // most uses in a window; scopes key and principal
	Gap      float32  // most expected calls missed in a silence, faded; scope key
	Users    int      // principals that have used the KMS key; scope key
	Accounts []uint32 // their accounts, by hash; scope key
	Networks []uint32 // networks of its calls, by hash; scope principal
	Clients  []uint32 // programs of its calls, by hash; scope principal
	Fresh    int      // those of Users with their first use in the window at FreshAt, and of no known family
	FreshAt  int64
	Families []Family  // of its users; scope key
	Keys     []uint32  // KMS keys used, by hash; scope principal
	Foreign  []uint32  // other accounts under whose KMS keys it encrypted, by hash; scope principal
	Objects  Objects   // scope principal
	Secrets  Objects   // those of them that are secrets and parameters; scope principal
	Calls    Calls     // scope principal
	Ongoing  []Ongoing // anomalies that may go on, at most one per detector
}

// MaxKeys bounds the known KMS keys of a principal.
const MaxKeys = 64

// MaxKnown bounds the known networks, programs and accounts; the newest stay.
const MaxKnown = 16

// peakHalfLife is the half-life of a peak: four weeks, so that a monthly peak counts half
// when it returns.
const peakHalfLife = 28 * eventtime.Day

// Faded returns what is left of a peak after an age in ns.
func Faded(v float32, age int64) float64 {
	if v == 0 || age <= 0 {
		return float64(v)
	}
	return float64(v) * math.Exp2(-float64(age)/float64(peakHalfLife))
}

// Learn learns from a window of a principal: the networks of its calls, their KMS keys
// and objects, and their number.
func (h *Habits) Learn(w *Window) {
	h.Networks = know(h.Networks, w.Sets[wire.SetNetworks].Values, MaxKnown)
	h.Clients = know(h.Clients, w.Sets[wire.SetClients].Values, MaxKnown)
	h.Keys = know(h.Keys, w.Used(), MaxKeys)
	h.Foreign = know(h.Foreign, w.Sets[wire.SetForeign].Values, MaxKnown)
	h.Objects.add(w.Start, &w.Sets[wire.SetObjects], MaxObjects)
	h.Secrets.add(w.Start, &w.Sets[wire.SetSecrets], MaxSecrets)
	h.Calls.add(w)
}

// AddUser counts a principal of an account and of a family, given by their hashes, among
// the users of a KMS key, as of the window at start.
func (h *Habits) AddUser(account, family uint32, start int64) {
	if h.Users++; h.FreshAt != start {
		h.Fresh, h.FreshAt = 0, start
	}
	if !h.Known(family) {
		h.Fresh++
	}
	h.join(family)
	if !slices.Contains(h.Accounts, account) {
		h.Accounts = newest(h.Accounts, account, MaxKnown)
	}
}

// know adds the values of a set to those known.
func know(known []uint32, values []wire.HashCount, most int) []uint32 {
	for _, v := range values {
		if !slices.Contains(known, uint32(v.Hash)) {
			known = newest(known, uint32(v.Hash), most)
		}
	}
	return known
}

// newest adds a value, and drops the oldest if there are too many.
func newest(known []uint32, value uint32, most int) []uint32 {
	if len(known) >= most {
		known = known[:copy(known, known[1:])]
	}
	return append(known, value)
}
