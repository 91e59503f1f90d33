package source

import (
	"errors"
	"slices"
	"testing"
)

func TestByDelivery(t *testing.T) {
	names := []string{
		"AWSLogs/111122223333/CloudTrail/us-east-1/2026/01/06/111122223333_CloudTrail_us-east-1_20260106T0000Z_AAAAAAAAAAAAAAAA.json.gz",
		"AWSLogs/444455556666/CloudTrail/eu-west-1/2026/01/05/444455556666_CloudTrail_eu-west-1_20260105T2355Z_BBBBBBBBBBBBBBBB.json.gz",
		"notes.json",
		"AWSLogs/111122223333/CloudTrail/us-east-1/2026/01/05/111122223333_CloudTrail_us-east-1_20260105T2355Z_CCCCCCCCCCCCCCCC.json",
	}
	var objects []Object
	for _, n := range names {
		objects = append(objects, Object{Name: n})
	}
	slices.SortFunc(objects, ByDelivery)
	for i, want := range []int{2, 3, 1, 0} {
		if objects[i].Name != names[want] {
			t.Errorf("place %d: %s, want %s", i, objects[i].Name, names[want])
		}
	}
	if d := Delivered("111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260105T2355Z.json.gz"); d != "" {
		t.Errorf("a digest file is delivered at %q", d)
	}
}

// Errors come first, then the objects in order of delivery, whatever their folders.
func TestInOrder(t *testing.T) {
	wrong := errors.New("wrong")
	names := []string{"b/1_CloudTrail_x-1_20260105T0010Z_a.json.gz", "a/1_CloudTrail_x-1_20260105T0020Z_a.json.gz", "c/1_CloudTrail_x-1_20260105T0005Z_a.json.gz"}
	var got []string
	for o, err := range InOrder(func(yield func(Object, error) bool) {
		for _, n := range names {
			if !yield(Object{Name: n}, nil) {
				return
			}
		}
		yield(Object{}, wrong)
	}) {
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, o.Name)
	}
	if want := []string{"wrong", names[2], names[0], names[1]}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
