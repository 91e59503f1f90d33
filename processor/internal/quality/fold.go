package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// candidates are the thresholds of the score that a fold may choose from.
var candidates = []float64{
	0, 6, 6.25, 6.5, 6.75, 7, 7.25, 7.5, 7.75, 8, 8.5, 9, 9.5, 10, 11, 12, 14, 16, 20, 25, 30, 50, 100, 200,
}

// budget is how many false alarms a day per 100 accounts a fold allows on its training side.
const budget = 2.0

// fitted returns the lowest candidate that stays within the budget on the given trails; it
// finds the most attacks. It returns the highest when none does.
func fitted(train []*contact) float64 {
	for _, t := range candidates {
		if s := together(train, t, nil); s.rate(s.alarms) <= budget {
			return t
		}
	}
	return candidates[len(candidates)-1]
}

// heldOut returns the results of each family with the threshold that was fitted to the
// other families. The fit looks at false alarms alone, so every attack is held out, too.
func heldOut(all []*contact) map[string]sums {
	results := map[string]sums{}
	for _, name := range familyNames(all) {
		test, train := split(all, name)
		results[name] = together(test, fitted(train), nil)
	}
	return results
}

func split(all []*contact, name string) (test, train []*contact) {
	for _, c := range all {
		if c.family.Name == name {
			test = append(test, c)
		} else {
			train = append(train, c)
		}
	}
	return test, train
}

func familyNames(all []*contact) (names []string) {
	for _, c := range all {
		if !slices.Contains(names, c.family.Name) {
			names = append(names, c.family.Name)
		}
	}
	return names
}

// macro returns the mean recall of the families, and the lowest with its name.
func macro(all []*contact, threshold float64) (mean, worst float64, name string) {
	names := familyNames(all)
	worst = 2
	for _, n := range names {
		test, _ := split(all, n)
		s := together(test, threshold, nil)
		r := s.recall()
		if mean += r / float64(len(names)); r < worst {
			worst, name = r, n
		}
	}
	return mean, worst, name
}

// interval is the middle 95 % of a bootstrap.
type interval struct{ low, high float64 }

// bootstrap draws trails with replacement (Efron 1979, "Bootstrap methods: another look at
// the jackknife"), and returns the intervals of the recall and of the false alarms per day
// and 100 accounts.
func bootstrap(all []*contact, threshold float64) (recall, alarms interval) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := make([]sums, len(all))
	for i := range all {
		parts[i] = together(all[i:i+1], threshold, nil)
	}
	const draws = 2000
	var recalls, rates []float64
	for range draws {
		var s sums
		for range parts {
			p := &parts[r.IntN(len(parts))]
			s.planted, s.found = s.planted+p.planted, s.found+p.found
			s.alarms, s.accountDays = s.alarms+p.alarms, s.accountDays+p.accountDays
		}
		recalls, rates = append(recalls, s.recall()), append(rates, s.rate(s.alarms))
	}
	middle := func(list []float64) interval {
		slices.SortFunc(list, cmp.Compare)
		return interval{list[draws*25/1000], list[draws*975/1000]}
	}
	return middle(recalls), middle(rates)
}
