package notification

import (
	"regexp"
	"strings"
	"time"
)

// File is what the key of an object says about a file of CloudTrail's. Anybody
// who may write to the bucket can choose a key: it helps to order and to pick
// files, and proves nothing about what is in them.
type File struct {
	Kind    FileKind
	Org     string // the organization ("o-..."), "" for a trail of one account
	Account string // digits, of any number; "" when the key does not say
	Region  string // where the calls were made; "" when the key does not say
	// Day is the date of the folders, at midnight in UTC: when the file was
	// published. Zero when the key does not say.
	Day time.Time
	// Stamp is the time in the name, in UTC: the minute of delivery, for a digest
	// the second at which its hour ended. Zero when the key does not say.
	Stamp time.Time
	// Backfill marks a digest that CloudTrail delivered later, for files that the
	// digest of their hour does not name.
	Backfill bool
}

// FileKind is the bounded set of files that CloudTrail writes.
type FileKind string

// The kinds of files. KMS calls are management events, which stand in logs; those
// made through VPC endpoints also stand in files of network activity. Aggregates
// are of data events. Digests hold the hashes of the others.
const (
	FileLog             FileKind = "log"
	FileNetworkActivity FileKind = "network_activity"
	FileInsight         FileKind = "insight"
	FileAggregate       FileKind = "aggregate"
	FileDigest          FileKind = "digest"
	FileOther           FileKind = "other" // not CloudTrail's, or of a kind that is not known
)

// kindOf holds CloudTrail's word for each kind, which stands in the folders and
// in the names.
// Source: CloudTrail User Guide, "Finding your CloudTrail log files" and
// "CloudTrail digest file structure".
var kindOf = map[string]FileKind{
	"CloudTrail":                 FileLog,
	"CloudTrail-NetworkActivity": FileNetworkActivity,
	"CloudTrail-Insight":         FileInsight,
	"CloudTrail-Aggregated":      FileAggregate,
	"CloudTrail-Digest":          FileDigest,
}

var (
	// A log's name: ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHmmZ_UNIQUE.json.gz; a
	// digest's: ACCOUNT_CloudTrail-Digest_REGION_TRAIL_REGION_YYYYMMDDTHHmmssZ.json.gz,
	// where the trail's name may have underscores too, with _backfill behind the time of
	// one that came later.
	fileName = regexp.MustCompile(`^([0-9]+)_(CloudTrail[A-Za-z-]*)_([a-z0-9-]+)_(.+)$`)
	logStamp = regexp.MustCompile(`^([0-9]{8}T[0-9]{4}(?:[0-9]{2})?Z)`)
	endStamp = regexp.MustCompile(`_([0-9]{8}T[0-9]{4}(?:[0-9]{2})?Z)(_backfill)?\.[A-Za-z.]+$`)
	digits   = regexp.MustCompile(`^[0-9]+$`)
)

// FileOf says what kind of file an object's key names:
//
//	[PREFIX/]AWSLogs/[ORG/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/NAME
//
// It is lenient: a file that was copied elsewhere is known by its name alone,
// and one that was renamed by its folders. Where both speak, the name is right.
func FileOf(key string) File {
	folders := strings.Split(key, "/")
	name := folders[len(folders)-1]
	folders = folders[:len(folders)-1]
	f := File{Kind: FileOther}
	if name == "" { // the folder itself, as consoles create it
		return f
	}
	f.folders(folders)
	m := fileName.FindStringSubmatch(name)
	if m == nil {
		return f
	}
	kind, known := kindOf[m[2]]
	if !known {
		return File{Kind: FileOther}
	}
	f.Kind, f.Account, f.Region = kind, m[1], m[3]
	stamp := logStamp
	if kind == FileDigest {
		stamp = endStamp
	}
	if s := stamp.FindStringSubmatch(m[4]); s != nil {
		f.Stamp = parseTime(s[1], "20060102T1504Z", "20060102T150405Z")
		f.Backfill = len(s) > 2 && s[2] != ""
	}
	return f
}

// folders reads the folders from the last one that names a kind on: a prefix may
// have the same word.
func (f *File) folders(names []string) {
	for i := len(names) - 1; i > 0; i-- {
		kind, known := kindOf[names[i]]
		if !known || !digits.MatchString(names[i-1]) {
			continue
		}
		f.Kind, f.Account = kind, names[i-1]
		if i > 1 && strings.HasPrefix(names[i-2], "o-") {
			f.Org = names[i-2]
		}
		if rest := names[i+1:]; len(rest) > 0 {
			f.Region = rest[0]
			if len(rest) >= 4 {
				f.Day = parseTime(strings.Join(rest[1:4], "/"), "2006/01/02")
			}
		}
		return
	}
}

// parseTime reads s by the first layout that fits, in UTC. It returns the zero
// time when none does.
func parseTime(s string, layouts ...string) time.Time {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}
