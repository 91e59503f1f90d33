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
	Tops     Tops     // most calls in a window; scopes key and principal
	Gap      float32  // most expected calls missed in a silence, faded; scope key
	Users    int      // principals that have used the KMS key; scope key
	Accounts []uint32 // their accounts, by hash; scope key
	Networks []uint32 // networks of its calls, by hash; scope principal
	Clients  []uint32 // programs of its calls, by hash; scope principal
	Fresh    int      // those of Users with their first use in the window at FreshAt
	FreshAt  int64
	Keys     []uint32  // KMS keys used, by hash; scope principal
	Objects  Objects   // scope principal
	Calls    Calls     // scope principal
	Ongoing  []Ongoing // anomalies that may go on, at most one per detector
}

// MaxKeys bounds the known KMS keys of a principal.
const MaxKeys = 64

// maxKnown bounds the known networks, programs and accounts; the newest stay.
const maxKnown = 16

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
	h.Networks = know(h.Networks, &w.Sets[wire.SetNetworks], maxKnown)
	h.Clients = know(h.Clients, &w.Sets[wire.SetClients], maxKnown)
	h.Keys = know(h.Keys, &w.Sets[wire.SetPeers], MaxKeys)
	h.Objects.add(w)
	h.Calls.add(w)
}

// AddUser counts a principal of an account, given by its hash, among the users of a KMS
// key, as of the window at start.
func (h *Habits) AddUser(account uint32, start int64) {
	if h.Users++; h.FreshAt != start {
		h.Fresh, h.FreshAt = 0, start
	}
	h.Fresh++
	if !slices.Contains(h.Accounts, account) {
		h.Accounts = newest(h.Accounts, account, maxKnown)
	}
}

// know adds the values of a set to those known.
func know(known []uint32, s *wire.Set, most int) []uint32 {
	for _, v := range s.Values {
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
