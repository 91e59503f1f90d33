package notification

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

// Keys are read in the forms of CloudTrail's documentation and in those of copies.
func TestFileOf(t *testing.T) {
	day := at("2026-11-20 00:00:00")
	minute := at("2026-11-20 09:05:00")
	const name = "111122223333_CloudTrail_eu-central-1_20261120T0905Z_Mu0KsOhtH1ar15ZZ.json.gz"
	log := File{Kind: FileLog, Account: "111122223333", Region: "eu-central-1", Day: day, Stamp: minute}
	of := func(change func(*File)) File { f := log; change(&f); return f }
	for key, want := range map[string]File{
		"AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/" + name:                           log,
		"some/prefix/AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/" + name:               log,
		"AWSLogs/o-exampleorgid/111122223333/CloudTrail/eu-central-1/2026/11/20/" + name:            of(func(f *File) { f.Org = "o-exampleorgid" }),
		"o-aa111bb222/AWSLogs/o-aa111bb222/111122223333/CloudTrail/eu-central-1/2026/11/20/" + name: of(func(f *File) { f.Org = "o-aa111bb222" }),
		// The prefix has CloudTrail's words too: the folders next to the file count.
		"1/CloudTrail-Digest/x/AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/" + name: log,
		name:           of(func(f *File) { f.Day = time.Time{} }),
		"copy/" + name: of(func(f *File) { f.Day = time.Time{} }),
		"AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/renamed.json": of(func(f *File) { f.Stamp = time.Time{} }),
		// As one page of the documentation prints a name: no underscore behind the time.
		"111122223333_CloudTrail_eu-central-1_20261120T0905ZHdkvFTXOA3Vnhbc.json.gz":                                                                             of(func(f *File) { f.Day = time.Time{} }),
		"AWSLogs/123456789/CloudTrail/us-gov-west-1/2026/11/20/123456789_CloudTrail_us-gov-west-1_20261120T0905Z_a.json.gz":                                      of(func(f *File) { f.Account, f.Region = "123456789", "us-gov-west-1" }),
		"AWSLogs/111122223333/CloudTrail-Insight/eu-central-1/2026/11/20/111122223333_CloudTrail-Insight_eu-central-1_20261120T0905Z_a.json.gz":                  of(func(f *File) { f.Kind = FileInsight }),
		"AWSLogs/111122223333/CloudTrail-NetworkActivity/eu-central-1/2026/11/20/111122223333_CloudTrail-NetworkActivity_eu-central-1_20261120T0905Z_a.json.gz":  of(func(f *File) { f.Kind = FileNetworkActivity }),
		"AWSLogs/111122223333/CloudTrail-Aggregated/eu-central-1/2026/11/20/x.json.gz":                                                                           of(func(f *File) { f.Kind, f.Stamp = FileAggregate, time.Time{} }),
		"AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/11/20/111122223333_CloudTrail-Digest_eu-central-1_my_trail_us-east-1_20261120T090512Z.json.gz": of(func(f *File) { f.Kind, f.Stamp = FileDigest, at("2026-11-20 09:05:12") }),
		// A trail whose name looks like a time.
		"111122223333_CloudTrail-Digest_eu-central-1_20200101T0000Z_us-east-1_20261120T090512Z.json.gz": of(func(f *File) { f.Kind, f.Day, f.Stamp = FileDigest, time.Time{}, at("2026-11-20 09:05:12") }),
		// Times that do not exist are not known.
		"AWSLogs/111122223333/CloudTrail/eu-central-1/2026/13/20/111122223333_CloudTrail_eu-central-1_20261120T2560Z_a.json.gz": of(func(f *File) { f.Day, f.Stamp = time.Time{}, time.Time{} }),
		"AWSLogs/111122223333/CloudTrail/x.json": {Kind: FileLog, Account: "111122223333"},
		"AWSLogs/111122223333/CloudTrail/":       {Kind: FileOther},
		"AWSLogs/111122223333/CloudTrail":        {Kind: FileOther},
		"docs/CloudTrail/readme.txt":             {Kind: FileOther},
		"CloudTrail/a/b/c":                       {Kind: FileOther},
		"AWSLogs/111122223333/Config/eu-central-1/2026/11/20/ConfigHistory/x.json.gz":                                                             {Kind: FileOther},
		"AWSLogs/111122223333/CloudTrail-Tomorrow/eu-central-1/2026/11/20/111122223333_CloudTrail-Tomorrow_eu-central-1_20261120T0905Z_a.json.gz": {Kind: FileOther},
		"": {Kind: FileOther}, "/": {Kind: FileOther}, "//": {Kind: FileOther},
	} {
		if got := FileOf(key); got != want {
			t.Errorf("%s:\n%+v, want\n%+v", key, got, want)
		}
	}
}

// FuzzFileOf: any text is a key; what is found in one is found again in a key
// that is written from it.
func FuzzFileOf(f *testing.F) {
	for _, key := range append(odd, logKey(1), "AWSLogs/o-a/1/CloudTrail-Digest/r/2026/01/02/1_CloudTrail-Digest_r_t_r_20260102T030405Z.json.gz", "1/CloudTrail/x/y", "1/CloudTrail-Insight/r/2026/02/30/x") {
		f.Add(key)
	}
	words := map[FileKind]string{}
	for word, kind := range kindOf {
		words[kind] = word
	}
	f.Fuzz(func(t *testing.T, key string) {
		file := FileOf(key)
		if file.Kind == FileOther {
			if (file != File{Kind: FileOther}) {
				t.Fatalf("%+v", file)
			}
			return
		}
		word, known := words[file.Kind]
		if !known || !digits.MatchString(file.Account) || file.Stamp.Location() != time.UTC || file.Day.Location() != time.UTC {
			t.Fatalf("%+v", file)
		}
		if file.Stamp.IsZero() || file.Day.IsZero() || !fileName.MatchString(file.Account+"_"+word+"_"+file.Region+"_x") {
			return // a name and folders cannot be written from it
		}
		folders := "AWSLogs/" + file.Account
		if file.Org != "" {
			folders = "AWSLogs/" + file.Org + "/" + file.Account
		}
		rest := file.Stamp.Format("20060102T1504Z") + "_x.json.gz"
		if file.Kind == FileDigest || file.Stamp.Second() != 0 {
			rest = file.Stamp.Format("20060102T150405Z") + "_x.json.gz"
		}
		if file.Kind == FileDigest {
			rest = "t_" + file.Region + file.Stamp.Format("_20060102T150405Z.json.gz")
		}
		again := fmt.Sprintf("%s/%s/%s/%s/%s_%s_%s_%s", folders, word, file.Region, file.Day.Format("2006/01/02"), file.Account, word, file.Region, rest)
		if got := FileOf(again); got != file {
			t.Fatalf("%q\n%+v\nagain %q\n%+v", key, file, again, got)
		}
	})
}

// The kinds are a bounded set, so that they can be labels.
func TestFileKinds(t *testing.T) {
	var kinds []FileKind
	for _, k := range kindOf {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	want := []FileKind{FileAggregate, FileDigest, FileInsight, FileLog, FileNetworkActivity}
	if !slices.Equal(kinds, want) {
		t.Errorf("%q, want %q", kinds, want)
	}
}
