package source

import (
	"cmp"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// trailFile matches CloudTrail's file names: account, "CloudTrail", region, the minute of
// delivery, and random characters. Source: CloudTrail user guide, "CloudTrail log file
// name format".
var trailFile = regexp.MustCompile(`^([0-9]+)_CloudTrail_([a-z0-9-]+)_([0-9]{8}T[0-9]{4}Z)_`)

// Delivered returns the minute of delivery in a CloudTrail file's name
// ("20260105T0010Z"), or "" for any other name.
func Delivered(name string) string {
	_, _, minute := TrailFile(name)
	return minute
}

// TrailFile returns the account, the Region and the minute of delivery in a CloudTrail
// file's name, or "" for any other name.
func TrailFile(name string) (account, region, minute string) {
	m := trailFile.FindStringSubmatch(filepath.Base(name))
	if m == nil {
		return "", "", ""
	}
	return m[1], m[2], m[3]
}

// ByDelivery orders objects by delivery time, and by name if that is equal or unknown. A
// trail's folders are grouped by account and region: read folder by folder, the second
// region's events would come days after younger ones of the first, and be late.
func ByDelivery(a, b Object) int {
	return cmp.Or(strings.Compare(Delivered(a.Name), Delivered(b.Name)), strings.Compare(a.Name, b.Name))
}

// InOrder yields objects in order of delivery, errors first. It holds all names: about
// 300 bytes each.
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
