package source

import (
	"cmp"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// trailFile is how CloudTrail names its files: account, "CloudTrail", region,
// the minute of delivery, and random characters.
// Source: CloudTrail user guide, "CloudTrail log file name format".
var trailFile = regexp.MustCompile(`^[0-9]+_CloudTrail_[a-z0-9-]+_([0-9]{8}T[0-9]{4}Z)_`)

// Delivered returns the minute at which CloudTrail delivered a file, as its
// name tells it ("20260105T0010Z"), or "" for any other name.
func Delivered(name string) string {
	m := trailFile.FindStringSubmatch(filepath.Base(name))
	if m == nil {
		return ""
	}
	return m[1]
}

// ByDelivery orders objects by the time of their delivery, and by name where it
// is equal or unknown. A trail's folders stand by account and region; read
// folder by folder, the events of the second region would come days after the
// younger ones of the first, and be late.
func ByDelivery(a, b Object) int {
	return cmp.Or(strings.Compare(Delivered(a.Name), Delivered(b.Name)), strings.Compare(a.Name, b.Name))
}

// InOrder offers objects in the order of their delivery, errors first. It holds
// the names of all of them: about 300 bytes each.
func InOrder(objects iter.Seq2[Object, error]) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		var list []Object
		for o, err := range objects {
			if err == nil {
				list = append(list, o)
			} else if !yield(o, err) {
				return
			}
		}
		slices.SortStableFunc(list, ByDelivery)
		for _, o := range list {
			if !yield(o, nil) {
				return
			}
		}
	}
}
