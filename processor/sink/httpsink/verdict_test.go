package httpsink

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f := func(header, date string, want time.Duration) {
		t.Helper()
		h := http.Header{}
		h.Set("Retry-After", header)
		h.Set("Date", date)
		if got := RetryAfter(h, now); got != want {
			t.Errorf("Retry-After %q, Date %q: got %v, want %v", header, date, got, want)
		}
	}
	f("", "", 0)
	f("0", "", 0)
	f("120", "", 2*time.Minute)
	f(" 120 ", "", 2*time.Minute)
	f("-1", "", 0)
	f("1.5", "", 0)
	f("soon", "", 0)
	f("99999999999999999999", "", 0)
	f("18446744073709551615", "", 9223372036*time.Second)
	f("Sun, 22 Nov 2026 10:00:30 GMT", "", 30*time.Second)
	f("Sun, 22 Nov 2026 09:00:00 GMT", "", 0)
	// a receiver whose clock is an hour ahead means the same 30 s
	f("Sun, 22 Nov 2026 11:00:30 GMT", "Sun, 22 Nov 2026 11:00:00 GMT", 30*time.Second)
	f("Sun, 22 Nov 2026 10:00:30 GMT", "yesterday", 30*time.Second)
}

func TestWantsTLS(t *testing.T) {
	f := func(words string, want bool) {
		t.Helper()
		if got := wantsTLS(words); got != want {
			t.Errorf("%q: got %v, want %v", words, got, want)
		}
	}
	f("Client sent an HTTP request to an HTTPS server.", true)                   // Go
	f("400 The plain HTTP request was sent to HTTPS port", true)                 // nginx
	f("You're speaking plain HTTP to an SSL-enabled server port.", true)         // Apache
	f("cannot parse record 3: https://example.com/a is not a user agent", false) // about a record
	f("invalid character '<' looking for beginning of value", false)
}

// FuzzClean holds that what a receiver says cannot leave its line, whatever it is.
func FuzzClean(f *testing.F) {
	f.Add("page not\r\n\x1b[31mfound\n")
	f.Add(strings.Repeat("é", 2000))
	f.Add("\u202eevil\u0085\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q: %q is left in %q", s, r, got)
			}
		}
		if n := len([]rune(got)); n > 306 {
			t.Fatalf("%q: %d runes", s, n)
		}
	})
}
