package setting

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Scrubber replaces texts that must not be shown by what may be shown of them. The zero
// value and nil know of none. It is safe for concurrent use.
type Scrubber struct {
	mu    sync.RWMutex
	known map[string]string   // what is shown, by text
	files map[string][]string // the last contents of each file, at most keptContents
	all   *strings.Replacer
	long  map[string][]string // the forms that a text may end within, by their first leastCut bytes
	shown map[string]string   // what is shown, by form
}

// LeastSecret is how long a secret is at least that is looked for in other texts, in bytes.
// Shorter ones would make garbage of all output, and hide nothing that cannot be guessed.
const LeastSecret = 4

// leastCut is from which length on the beginning of a secret is hidden where a text was cut.
const leastCut = 16

// Add has text replaced by shown wherever it stands, also as it is written in URLs, in
// JSON, in quotes and, when it is long enough to be told from other texts, in base64. Of
// two calls with one text the first counts.
func (s *Scrubber) Add(text, shown string) {
	if s == nil || text == "" || text == shown {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	if _, had := s.known[text]; !had {
		s.known[text] = shown
		s.build()
	}
}

// keptContents is how many contents of one file are known: two would do for a file, and
// every connection to Kafka may have its own token from one URL.
const keptContents = 16

// AddFile is Add with Redacted for a secret that the file at path holds now, or that the
// URL path gave. It may change while the program runs: the last keptContents are known. One
// that is shorter than LeastSecret is not hidden.
func (s *Scrubber) AddFile(path, text string) {
	if s == nil || len(text) < LeastSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.files[path]
	if slices.Contains(last, text) {
		return
	}
	if s.files == nil {
		s.files = map[string][]string{}
	}
	s.files[path] = append(last[max(0, len(last)-keptContents+1):], text)
	s.build()
}

// build makes a new replacer, with the lock held.
func (s *Scrubber) build() {
	shown := map[string]string{}
	add := func(text, as string) {
		for _, form := range forms(text) {
			if _, had := shown[form]; !had && form != "" {
				shown[form] = as
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(s.known)) { // in the same order each time
		add(text, s.known[text])
	}
	for _, last := range s.files {
		for _, text := range last {
			add(text, Redacted)
		}
	}
	// The longest first, because the first that fits is replaced.
	texts := slices.SortedFunc(maps.Keys(shown), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(texts))
	s.long, s.shown = map[string][]string{}, shown
	for _, form := range texts {
		pairs = append(pairs, form, shown[form])
		if len(form) > leastCut {
			s.long[form[:leastCut]] = append(s.long[form[:leastCut]], form)
		}
	}
	s.all = strings.NewReplacer(pairs...)
}

// Clean returns text without what was added, nor its beginning where text, or a part of it
// in quotes or parentheses, was cut within it: when at least leastCut bytes are left.
func (s *Scrubber) Clean(text string) string {
	if s == nil {
		return text
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.all == nil {
		return text
	}
	return s.cut(s.all.Replace(text))
}

// cut replaces what is left of forms where text was cut within them.
func (s *Scrubber) cut(text string) string {
	for begin, list := range s.long {
		for at := 0; ; {
			i := strings.Index(text[at:], begin)
			if i < 0 {
				break
			}
			at += i
			end, as := 0, ""
			for _, form := range list {
				if n := untilCut(text[at:], form); n > end {
					end, as = n, s.shown[form]
				}
			}
			if end == 0 {
				at++
				continue
			}
			text = text[:at] + as + text[at+end:]
			at += len(as)
		}
	}
	return text
}

// untilCut returns how many bytes of form text begins with before it was cut, 0 where it
// was not. The form may go on as the mark of the cut begins.
func untilCut(text, form string) int {
	n := 0
	for n < len(text) && n < len(form) && text[n] == form[n] {
		n++
	}
	if rest := text[n:]; n >= leastCut && (rest == "" || rest[0] == '\\' || rest[0] >= utf8.RuneSelf) {
		return n // also within an escape or a character
	}
	for back := 0; back < len(cutMark) && n-back >= leastCut; back++ {
		rest := text[n-back:]
		if strings.HasPrefix(rest, dots) || strings.HasPrefix(rest, cutMark) ||
			rest != "" && strings.IndexByte("\"'`)", rest[0]) >= 0 {
			return n - back
		}
	}
	return 0
}

// cutMark and dots are what stands where the project itself has cut a text.
const cutMark, dots = " (cut)", "..."

// longEnough is the length from which on a text is looked for in base64: three shifts of
// a shorter one are texts of a few letters, which stand in much.
const longEnough = 8

// forms returns text as the clients of servers write it.
func forms(text string) []string {
	list := []string{text, url.QueryEscape(text), url.PathEscape(text),
		strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), lowerEscapes(url.QueryEscape(text))}
	if u, err := url.Parse(text); err == nil && len(u.String()) >= len(text) { // without a final '#' it is another word
		list = append(list, u.String())
	}
	list = append(list, (&url.URL{Path: text}).EscapedPath())
	quoted := strconv.Quote(text)
	list = append(list, quoted[1:len(quoted)-1], inJSON(text))
	ascii := strconv.QuoteToASCII(text)
	list = append(list, ascii[1:len(ascii)-1])
	if len(text) < longEnough {
		return list
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for shift := range 3 { // within "user:password" it may begin anywhere
			list = append(list, within(enc, text, shift))
		}
	}
	return list
}

// inJSON is text as it stands within a string of JSON.
func inJSON(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return ""
	}
	return string(b[1 : len(b)-1])
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

// within returns the digits of base64 that depend on text alone, where so many bytes stand
// before it in a group of three.
func within(enc *base64.Encoding, text string, shift int) string {
	all := enc.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", shift) + text))
	from := (shift*8 + 5) / 6
	to := (shift + len(text)) * 8 / 6
	return all[from:to]
}
