package normalize

import (
	"encoding/binary"
	"strconv"
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

// dateLayouts are the forms of dates that AWS writes in the words of a locale. "Apr 12, 2021
// 18:58:30 PM" stands in AWS's documents, "Oct 21, 2026, 2:25:29 PM" in later records, and
// newer versions of Java have a narrow space before AM and PM. The others are those of
// Java's other English locales.
var dateLayouts = [...]string{
	"Jan 2, 2006, 15:04:05 PM", "Jan 2, 2006 15:04:05 PM", "Jan 2, 2006, 15:04:05\u202fPM",
	"Jan 2, 2006 15:04:05\u202fPM", "2 Jan 2006, 15:04:05", "2 Jan 2006 15:04:05", "2-Jan-2006 15:04:05",
	"2 Jan 2006, 15:04:05 PM", "2 Jan 2006, 15:04:05\u202fPM", "Jan 2, 2006, 15:04:05", "2006-01-02 15:04:05",
	"Mon Jan 2 15:04:05 UTC 2006",
}

// date writes a time that AWS wrote in the words of a locale, or in seconds since 1970, in
// RFC 3339 and UTC. It writes nothing of a text that is not such a time.
func (n *Normalizer) date(rec *otellog.Record, name, words string) {
	t, ok := dateOf(words)
	if !ok {
		return
	}
	from := len(n.scratch)
	n.scratch = t.UTC().AppendFormat(n.scratch, time.RFC3339)
	rec.String(name, view.String(n.scratch[from:]))
}

func dateOf(words string) (t time.Time, ok bool) {
	if sameShape("1", words) || sameShape("1.5", words) {
		seconds, err := strconv.ParseFloat(words, 64)
		return time.Unix(int64(seconds), 0), err == nil && seconds >= 1 && seconds < 9_214_646_400 // the end of 2261
	}
	if len(words) > 10 && words[10] == 'T' {
		t, err := time.Parse(time.RFC3339, words)
		return t, err == nil
	}
	for _, layout := range dateLayouts {
		if !sameShape(layout, words) {
			continue
		}
		if at := strings.Index(words, "Sept"); at >= 0 { // British English
			words = words[:at+3] + words[at+4:]
		}
		t, err := time.Parse(layout, words)
		return t, err == nil
	}
	return t, false
}

// sameShape reports whether two texts differ only within their runs of digits and their
// runs of letters. It spares the attempts to parse, which allocate.
func sameShape(a, b string) bool {
	for a != "" && b != "" {
		kind := shapeOf(a[0])
		if kind != shapeOf(b[0]) || kind == 0 && a[0] != b[0] {
			return false
		}
		a, b = a[1:], b[1:]
		for kind != 0 && a != "" && shapeOf(a[0]) == kind {
			a = a[1:]
		}
		for kind != 0 && b != "" && shapeOf(b[0]) == kind {
			b = b[1:]
		}
	}
	return a == b
}

// shapeOf returns 1 for a digit, 2 for a letter and 0 for other bytes.
func shapeOf(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return 1
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return 2
	}
	return 0
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
