package config

import (
	"errors"
	"math"
	"reflect"
	"regexp"

	"keytrail/processor/setting"
)

// outOfRange matches what setting.Between says of a value.
var outOfRange = regexp.MustCompile(`out of range; allowed: (.+)$`)

// bounds returns the bounds of the numeric setting of c at a path, such as "1 to 64", as
// Validate tells them: it sets v, the part of c at the path, to values that are too small or
// too large, and back. It returns "" for a setting that Validate does not bound by itself.
func bounds(c *Config, path string, v reflect.Value) string {
	was := reflect.ValueOf(v.Interface())
	defer v.Set(was)
	for _, extreme := range []int64{-1 << 40, math.MinInt64 / 4, 1 << 52, math.MaxInt64 / 4} {
		switch v.Kind() {
		case reflect.Int, reflect.Int64:
			v.SetInt(extreme)
		case reflect.Float64:
			v.SetFloat(float64(extreme))
		default:
			return ""
		}
		var list setting.Problems
		_ = errors.As(c.Validate(), &list)
		for _, p := range list {
			if m := outOfRange.FindStringSubmatch(p.Text); m != nil && p.Key == path {
				return m[1]
			}
		}
	}
	return ""
}
