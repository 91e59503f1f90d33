package setting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	f := func(text string, want Size, back string) {
		t.Helper()
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != back {
			t.Errorf("%q: got %d (%s), %v; want %d (%s)", text, int64(s), s, err, int64(want), back)
		}
	}
	f("0", 0, "0")
	f("1", 1, "1")
	f("1048576", 1<<20, "1MiB")
	f("4MiB", 4<<20, "4MiB")
	f("4 MiB", 4<<20, "4MiB")
	f("1536KiB", 1536<<10, "1536KiB")
	f("100B", 100, "100")
	f("10MB", 10_000_000, "10MB")
	f("2TB", 2e12, "2TB")
	f("8388607TiB", math.MaxInt64>>40<<40, "8388607TiB")
	f("9223372036854775807", math.MaxInt64, "9223372036854775807")
	bad := func(text, want string) {
		t.Helper()
		s := Size(7)
		err := s.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || s != 7 {
			t.Errorf("%q: got %d, %v; want an error with %q and no change", text, s, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "+1", "1.5MiB", "4M", "4mib", "4 \tMiB", "0x10", "1e6", "١"} {
		bad(text, "not a size")
	}
	bad("8388608TiB", "too large")
	bad("9223372036854775808", "too large")
}

func FuzzSize(f *testing.F) {
	f.Add("4MiB")
	f.Add("9223372036854775807")
	f.Fuzz(func(t *testing.T, text string) {
		var s, back Size
		if s.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s || s < 0 {
			t.Errorf("%q is %d, printed as %q, read back as %d (%v)", text, int64(s), s, int64(back), err)
		}
	})
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const text = "hunter2"
	type config struct {
		Token  Secret
		hidden Secret
		Many   map[string]Secret
	}
	c := config{NewSecret(text), NewSecret(text), map[string]Secret{"a": SecretFrom(text, "${TOKEN}")}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", c, &c, c.Token)
	}
	fmt.Fprintln(&out, fmt.Errorf("bad config %v: %w", c, fmt.Errorf("token %s", c.hidden)))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", c.Token, "config", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", c.Token, "config", c)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret shows as %q in:\n%s", form, &out)
		}
	}
	for _, want := range []string{Redacted, "${TOKEN}"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q stands nowhere in:\n%s", want, &out)
		}
	}
	if c.Token.Reveal() != text || c.Many["a"].Reveal() != text {
		t.Error("Reveal does not return the secret")
	}
	if s := SecretFrom("", "${TOKEN}"); s != (Secret{}) || s.String() != "" {
		t.Errorf("an empty secret prints as %q, want nothing", s)
	}
}

func TestProblems(t *testing.T) {
	var p Problems
	if err := p.Err(); err != nil {
		t.Errorf("no problem is the error %v", err)
	}
	OneOf(&p, "mode", "b", "a", "b")
	Between(&p, "size", Size(1<<20), 0, 1<<20)
	if len(p) != 0 {
		t.Errorf("allowed values are problems: %v", p)
	}
	OneOf(&p, "mode", "c", "a", "b")
	Between(&p, "wait", time.Minute, 0, time.Second)
	Between(&p, "keep", -1, 0, 5)
	const want = `mode: "c" is not allowed; allowed: a, b
wait: 1m0s is out of range; allowed: 0s to 1s
keep: -1 is out of range; allowed: 0 to 5`
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}
