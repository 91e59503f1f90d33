package detector

import (
	"cmp"
	"fmt"
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// KeyProbing asks: is one principal refused on many different KMS keys, in a window or in
// two in a row? It needs no history.
var KeyProbing = Detector{
	"key_probing", 10, anomaly.KindRefusals, []string{"T1580", "T1526"}, hour, judgeKeyProbing,
}

func judgeKeyProbing(v View, ent *entity.Entity, w *entity.Window) (Finding, bool) {
	set, span := &w.Sets[wire.SetRefused], v.Size()
	n, capped := len(set.Values), set.Capped
	if ent.Scope != wire.ScopePrincipal || n == 0 {
		return Finding{}, false
	}
	if n < v.Settings().RefusedKeys { // a window may end within the attempts
		before := ent.Find(w.Start - v.Size())
		if before == nil {
			return Finding{}, false
		}
		earlier := &before.Sets[wire.SetRefused]
		n, capped, span = union(set, earlier), capped || earlier.Capped, 2*span
	}
	if n < v.Settings().RefusedKeys {
		return Finding{}, false
	}
	return Finding{Score: 8, Observed: float64(n), Expected: 0, Reason: fmt.Sprintf(
		"%s was refused on %s different KMS keys in %s, as by somebody who tries out keys. "+
			"None are expected, whatever came before.",
		ent.Principal, atLeast(n, capped), anomaly.Span(span))}, true
}

// union returns the number of different values of two sets.
func union(a, b *wire.Set) int {
	n := len(a.Values)
	for _, v := range b.Values {
		_, both := slices.BinarySearchFunc(a.Values, v.Hash, func(x wire.HashCount, h uint64) int {
			return cmp.Compare(x.Hash, h)
		})
		if !both {
			n++
		}
	}
	return n
}
