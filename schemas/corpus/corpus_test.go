package corpus

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestWhatItIsMadeOf holds the whole corpus to what its package says: sizes, and
// the shares of operations, callers, errors and texts that need care.
func TestWhatItIsMadeOf(t *testing.T) {
	const looked = Size / 5 // the shares are counted in these
	total, count, shortest, longest := 0, 0, 1<<20, 0
	has := map[string]int{}
	for r := range Records(Size) {
		count++
		total, shortest, longest = total+len(r), min(shortest, len(r)), max(longest, len(r))
		if count > looked {
			continue
		}
		for _, part := range []string{`"eventName":"Decrypt"`, `"eventName":"GenerateDataKey"`, `"eventName":"CreateGrant"`, `"type":"AssumedRole"`, `{"type":"AWSService"`,
			`{"type":"IAMUser"`, `{"type":"Root"`, `"errorCode"`, `"responseElements":null`, `"tlsDetails"`, `"sharedEventID"`} {
			if bytes.Contains(r, []byte(part)) {
				has[part]++
			}
		}
		if bytes.IndexByte(r, '\\') >= 0 || bytes.IndexFunc(r, func(c rune) bool { return c > 127 }) >= 0 {
			has["care"]++
		}
	}
	if mean := total / count; count != Size || mean < 1350 || mean > 1500 || shortest < 450 || shortest > 650 || longest < 2000 || longest > 2700 {
		t.Errorf("%d records of %d bytes in the mean, from %d to %d", count, mean, shortest, longest)
	}
	for part, want := range map[string]float64{`"eventName":"Decrypt"`: 43.5, `"eventName":"GenerateDataKey"`: 19.7, `"eventName":"CreateGrant"`: 5.7,
		`"type":"AssumedRole"`: 62, `{"type":"AWSService"`: 23, `{"type":"IAMUser"`: 12, `{"type":"Root"`: 3, `"errorCode"`: 3, `"responseElements":null`: 92, "care": 5} {
		if got := 100 * float64(has[part]) / looked; got < want-1.5 || got > want+1.5 {
			t.Errorf("%.1f %% of the records have %s, want %v %%", got, part, want)
		}
	}
	if has[`"tlsDetails"`] == 0 || has[`"sharedEventID"`] == 0 {
		t.Errorf("members are missing: %v", has)
	}
}

// TestNoOrderToLearn: the names at the top of the records stand in many
// sequences, and most records share none.
func TestNoOrderToLearn(t *testing.T) {
	const n = 20_000
	sequences, ids := map[string]int{}, map[string]bool{}
	for r := range Records(n) {
		names, id := topNames(t, r)
		sequences[strings.Join(names, " ")]++
		ids[id] = true
	}
	most := 0
	for _, times := range sequences {
		most = max(most, times)
	}
	if len(sequences) < 30 || most > n/3 {
		t.Errorf("%d sequences, the commonest %d times among %d records", len(sequences), most, n)
	}
	if len(ids) != n {
		t.Errorf("%d event ids in %d records", len(ids), n)
	}
}

// topNames reads a record's member names and its event id. No object in it has a
// name twice: a second one would be refused by a strict decoder.
func topNames(t *testing.T, r []byte) (names []string, id string) {
	t.Helper()
	var fields struct{ EventID string }
	if err := json.Unmarshal(r, &fields); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	type level struct {
		names map[string]bool
		value bool
	}
	var open []level
	for dec := json.NewDecoder(bytes.NewReader(r)); ; {
		token, err := dec.Token()
		if err == io.EOF {
			return names, fields.EventID
		} else if err != nil {
			t.Fatal(err)
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].names != nil {
			top := &open[n-1]
			if top.value = !top.value; top.value {
				name := token.(string)
				if top.names[name] {
					t.Fatalf("%s stands twice: %s", name, r)
				}
				top.names[name] = true
				if n == 1 {
					names = append(names, name)
				}
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
	}
}

// TestFile: a file is one JSON text with the records that stand in it, of one
// account and region, and packs like a real one.
func TestFile(t *testing.T) {
	for _, n := range []int{0, 1, Files - 1, 5000} {
		name, text, records := File(n)
		var file struct{ Records []json.RawMessage }
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		if len(file.Records) != FileRecords || len(records) != FileRecords {
			t.Fatalf("%d records in the text, %d beside it", len(file.Records), len(records))
		}
		places := map[string]bool{}
		for i, r := range file.Records {
			if !bytes.Equal(r, records[i]) {
				t.Fatalf("record %d is %s in the text, %s beside it", i, r, records[i])
			}
			var place struct{ RecipientAccountID, AwsRegion string }
			if err := json.Unmarshal(r, &place); err != nil {
				t.Fatal(err)
			}
			places[place.RecipientAccountID+"_CloudTrail_"+place.AwsRegion] = true
		}
		for place := range places {
			if len(places) != 1 || !strings.Contains(name, place) {
				t.Errorf("%s holds records of %v", name, places)
			}
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(Gzip(text)))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := io.ReadAll(unpacked); err != nil || !bytes.Equal(back, text) {
			t.Errorf("packed and unpacked, the file differs (%v)", err)
		}
		if ratio := float64(len(text)) / float64(len(Gzip(text))); ratio < 6 || ratio > 10 {
			t.Errorf("gzip makes the file %.1f times smaller; real trails are packed 6 to 10 times", ratio)
		}
	}
}

// TestItIsTheSameEverywhere: figures measured over different corpora cannot be
// compared. After a deliberate change of the corpus, put the new sum here and
// repeat all measurements that are compared with it.
func TestItIsTheSameEverywhere(t *testing.T) {
	sum := sha256.New()
	for r := range Records(5000) {
		sum.Write(r)
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil))[:16]; got != "c2c1fce7585d1dc9" {
		t.Errorf("the corpus has changed: its sum is %s", got)
	}
}

// TestCallersCallAgain: of the records, about three in four have a userIdentity that
// stood in their file before: fewer than in the published trail.
func TestCallersCallAgain(t *testing.T) {
	again, all := 0, 0
	for n := range 20 {
		_, _, records := File(n)
		seen := map[string]bool{}
		for _, r := range records {
			var e struct{ UserIdentity json.RawMessage }
			if err := json.Unmarshal(r, &e); err != nil {
				t.Fatal(err)
			}
			if seen[string(e.UserIdentity)] {
				again++
			}
			seen[string(e.UserIdentity)], all = true, all+1
		}
	}
	if share := 100 * again / all; share < 70 || share > 85 {
		t.Errorf("%d in a hundred", share)
	}
}
