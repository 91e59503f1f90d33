package normalize

import (
	"encoding/binary"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/view"
)

// join builds a string in the scratch memory, which is kept from record to
// record: no allocation in steady state. When the memory grows, strings built
// before keep the old memory alive.
func (n *Normalizer) join(parts ...string) string {
	from := len(n.scratch)
	for _, p := range parts {
		n.scratch = append(n.scratch, p...)
	}
	return view.String(n.scratch[from:])
}

// spaces are eight spaces. Digits, small letters and the hyphen, of which ids
// are made, have a space's bit; capital letters have not.
const spaces = 0x2020202020202020

// lower returns s with ASCII letters in lower case, in scratch memory when it
// has to change.
func (n *Normalizer) lower(s string) string {
	i := 0
	for b := []byte(s); i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:])&spaces == spaces; i += 8 {
	}
	for ; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			from := len(n.scratch)
			for j := 0; j < len(s); j++ {
				c := s[j]
				if c >= 'A' && c <= 'Z' {
					c += 'a' - 'A'
				}
				n.scratch = append(n.scratch, c)
			}
			return view.String(n.scratch[from:])
		}
	}
	return s
}

// parseTime reads an eventTime as nanoseconds since 1970: RFC 3339, and the
// form "2006-01-02 15:04:05.000" (UTC) that some exports use. 1970 itself is not a
// time: a record without a time has that number.
func parseTime(s string) (int64, bool) {
	if ns, ok := fastTime(s); ok {
		return ns, ns > 0
	}
	if len(s) < 19 || s[13] != ':' || strings.Contains(s, ",") { // time.Parse is more lenient than RFC 3339
		return 0, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		if t, err = time.Parse("2006-01-02 15:04:05", s); err != nil { // Parse takes a fraction by itself
			return 0, false
		}
	}
	if y := t.UTC().Year(); y < 1970 || y > 2261 {
		return 0, false
	}
	return t.UnixNano(), t.UnixNano() > 0
}

// date writes a time that AWS wrote in the words of a locale, in RFC 3339 and UTC. It
// writes nothing of a text that is not such a time.
func (n *Normalizer) date(rec *otellog.Record, name, words string) {
	if words == "" {
		return
	}
	// "Apr 12, 2021 18:58:30 PM" stands in AWS's documents, "Oct 21, 2026, 2:25:29 PM" in
	// later records. Newer versions of Java have a narrow space before AM and PM.
	layout := "Jan 2, 2006 15:04:05 PM"
	switch comma, narrow := strings.Count(words, ",") > 1, strings.Contains(words, "\u202f"); {
	case strings.Contains(words, "T"):
		layout = time.RFC3339
	case comma && narrow:
		layout = "Jan 2, 2006, 15:04:05\u202fPM"
	case comma:
		layout = "Jan 2, 2006, 15:04:05 PM"
	case narrow:
		layout = "Jan 2, 2006 15:04:05\u202fPM"
	}
	t, err := time.Parse(layout, words)
	if err != nil {
		return
	}
	from := len(n.scratch)
	n.scratch = t.UTC().AppendFormat(n.scratch, time.RFC3339)
	rec.String(name, view.String(n.scratch[from:]))
}

// fastTime reads exactly "2006-01-02T15:04:05Z", which is what CloudTrail
// writes, in a tenth of time.Parse's time.
func fastTime(s string) (int64, bool) {
	if len(s) != 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != 'Z' {
		return 0, false
	}
	y, mo, d := 100*twoDigits(s, 0)+twoDigits(s, 2), twoDigits(s, 5), twoDigits(s, 8)
	h, mi, sec := twoDigits(s, 11), twoDigits(s, 14), twoDigits(s, 17)
	if y < 1970 || y > 2261 || mo < 1 || mo > 12 || d < 1 || d > monthDays(y, mo) ||
		h < 0 || h > 23 || mi < 0 || mi > 59 || sec < 0 || sec > 59 {
		return 0, false
	}
	return (days(y, mo, d)*86400 + int64(h)*3600 + int64(mi)*60 + int64(sec)) * 1e9, true
}

// twoDigits is the number in s[i:i+2], far below 0 if these are not digits.
func twoDigits(s string, i int) int {
	tens, ones := s[i]-'0', s[i+1]-'0'
	if tens > 9 || ones > 9 {
		return -1 << 20
	}
	return 10*int(tens) + int(ones)
}

func monthDays(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// days counts the days from 1970-01-01 to the given date of the Gregorian
// calendar, by years that begin in March, so that the leap day is the last.
func days(y, m, d int) int64 {
	if m <= 2 {
		y, m = y-1, m+12
	}
	return int64(365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 719468)
}
