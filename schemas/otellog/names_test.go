package otellog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"keytrail/schemas/otellog"
)

// wanted are a few of the names in records() and foreign().
var wanted = otellog.NewNames("k", "keytrail.call.id", "aws.kms.encryption_context", "keytrail.self", "")

// only says in what DecodeOnly and Decode differ about data, or "".
func only(data []byte, names *otellog.Names) string {
	var all, some otellog.Record
	whole, err := all.Decode(data), some.DecodeOnly(data, names)
	switch {
	case whole != nil && !errors.Is(whole, otellog.ErrNoRecord):
		return "" // DecodeOnly does not see everything
	case (whole == nil) != (err == nil):
		return fmt.Sprintf("Decode says %v, DecodeOnly %v", whole, err)
	case whole != nil:
		return ""
	}
	all.Resource, all.Severity, all.Observed = nil, 0, 0
	all.Attrs = slices.DeleteFunc(all.Attrs, func(a otellog.Attr) bool { return names.Find(a.Key) < 0 })
	if !same(&all, &some) {
		return fmt.Sprintf("Decode gives %+v, DecodeOnly %+v", all, some)
	}
	return ""
}

func TestDecodeOnly(t *testing.T) {
	inputs := foreign()
	for name, r := range records() {
		inputs["own "+name] = otellog.AppendRequest(nil, r)
		var keys []string
		for _, a := range r.Attrs {
			if !slices.Contains(keys, a.Key) { // one of the records has a name twice
				keys = append(keys, a.Key)
			}
		}
		for i := range keys { // each alone, and all from it on
			for _, names := range []*otellog.Names{otellog.NewNames(keys[i]), otellog.NewNames(keys[i:]...)} {
				if diff := only(inputs["own "+name], names); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		}
	}
	for name, data := range inputs {
		if diff := only(data, wanted); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var r otellog.Record
	if err := r.DecodeOnly([]byte("\x0a\x05a"), wanted); err == nil || errors.Is(err, otellog.ErrNoRecord) {
		t.Errorf("a request that is cut: %v", err)
	}
}

func TestNames(t *testing.T) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprint("name.", i*i))
	}
	names := otellog.NewNames(all...)
	for i, name := range all {
		if got := names.Find(name); got != i {
			t.Errorf("%q is at %d, want %d", name, got, i)
		}
		if names.Find(name+"x") >= 0 {
			t.Errorf("%qx is found", name)
		}
	}
	for _, bad := range [][]string{{"a", "b", "a"}, make([]string, 1<<16)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d names are taken", len(bad))
				}
			}()
			otellog.NewNames(bad...)
		}()
	}
}

func FuzzDecodeOnly(f *testing.F) {
	for _, r := range records() {
		f.Add(otellog.AppendRequest(nil, r))
	}
	for _, data := range foreign() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if diff := only(data, wanted); diff != "" {
			t.Error(diff)
		}
	})
}
