package notification

import (
	"regexp"
	"strings"
	"time"
)

// KeyFault says why a key is not one that CloudTrail writes. "" means no fault.
type KeyFault string

// The faults.
const (
	KeyFolder    KeyFault = "folder"         // it ends with a slash: an empty object that a console makes
	KeyForeign   KeyFault = "not_cloudtrail" // it does not have CloudTrail's form
	KeyMisplaced KeyFault = "misplaced"      // it has the form, and its name and its folders disagree
)

// Detail says what a fault means, for a person.
func (f KeyFault) Detail() string {
	switch f {
	case KeyFolder:
		return "it is a folder"
	case KeyMisplaced:
		return "its name has another account, Region, kind or day than its folders"
	}
	return "it is not [PREFIX/]AWSLogs/[ORGANIZATION/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/FILE.json.gz " +
		"with CloudTrail's own file name"
}

// maxSkew is how far the time in a file's name may lie outside the day of its folder.
const maxSkew = time.Hour

var (
	organization = regexp.MustCompile(`^o-[a-z0-9]+$`)
	regionForm   = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`) // such as us-gov-west-1, cn-north-1, eusc-de-east-1
	// logForm and digestForm are file names behind ACCOUNT_KIND_REGION_.
	logForm    = regexp.MustCompile(`^[0-9]{8}T[0-9]{4}(?:[0-9]{2})?Z_[A-Za-z0-9]{1,64}\.json\.gz$`)
	digestForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}_[a-z0-9-]+_[0-9]{8}T[0-9]{6}Z(?:_backfill)?\.json\.gz$`)
)

// ParseKey reads the key of a file that CloudTrail delivered, strictly: a key that any
// other program wrote is told apart, however near it comes. It accepts every kind of
// file (File.Kind), prefix, organization and partition. FileOf is the lenient reader.
//
// Source: CloudTrail User Guide, "Finding your CloudTrail log files", "CloudTrail log
// file name format" and "CloudTrail digest file structure".
func ParseKey(key string) (File, KeyFault) {
	parts := strings.Split(key, "/")
	n := len(parts)
	if parts[n-1] == "" {
		return File{Kind: FileOther}, KeyFolder
	}
	if n < 8 || !(parts[n-8] == "AWSLogs" || n > 8 && organization.MatchString(parts[n-8]) && parts[n-9] == "AWSLogs") {
		return File{Kind: FileOther}, KeyForeign
	}
	account, folder, region, day, name := parts[n-7], parts[n-6], parts[n-5], strings.Join(parts[n-4:n-1], "/"), parts[n-1]
	kind, known := kindOf[folder]
	m := fileName.FindStringSubmatch(name)
	if !known || m == nil || !digits.MatchString(account) || !regionForm.MatchString(region) {
		return File{Kind: FileOther}, KeyForeign
	}
	form := logForm
	if kind == FileDigest {
		form = digestForm
	}
	f := FileOf(key)
	if len(day) != len("2006/01/02") || f.Day.IsZero() || f.Stamp.IsZero() || !form.MatchString(m[4]) {
		return File{Kind: FileOther}, KeyForeign
	}
	early, late := f.Day.Add(-maxSkew), f.Day.Add(24*time.Hour+maxSkew)
	if m[1] != account || m[2] != folder || m[3] != region ||
		f.Stamp.Before(early) && !f.Backfill || !f.Stamp.Before(late) {
		return f, KeyMisplaced
	}
	return f, ""
}

// Delivered returns when a file was delivered, as its key says: the later of the time in
// its name and the day of its folder. In one folder of a Region the order of keys is
// that of these times.
func (f *File) Delivered() time.Time {
	if f.Day.After(f.Stamp) {
		return f.Day
	}
	return f.Stamp
}
