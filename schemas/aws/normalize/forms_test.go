package normalize

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	sc "keytrail/schemas/semconv"
)

// TestContextIsOneString: an encryption context is one attribute, a JSON object with its
// names in order, whatever its names are and in whatever order they come.
func TestContextIsOneString(t *testing.T) {
	f := func(pairs string, want string, truncated string) {
		t.Helper()
		rec := one(t, kmsEvent("Decrypt", `,"requestParameters":{"encryptionContext":{`+pairs+`}}`))
		if got := rec.text(sc.AWSKMSEncryptionContext); got != want {
			t.Errorf("{%.300s} gives %.300s, want %.300s", pairs, got, want)
		}
		if got := rec.text(sc.KeytrailContextTruncated); got != truncated {
			t.Errorf("{%.300s} is truncated: %q, want %q", pairs, got, truncated)
		}
	}
	f(`"b":"2","a":"1"`, `{"a":"1","b":"2"}`, "")
	f(`"class":"s3_object","keytrail.via":"x"`, `{"class":"s3_object","keytrail.via":"x"}`, "")
	f(`"a":"\u0000 \" \\ \n 12345678\""`, `{"a":"\u0000 \" \\ \u000a 12345678\""}`, "")
	f(``, ``, "")
	// 2,048 bytes fit, and one more does not. The members that fit stay.
	fits := strings.Repeat("v", maxMap-len(`{"a":""}`))
	f(`"a":"`+fits+`"`, `{"a":"`+fits+`"}`, "")
	f(`"a":"`+fits+`v","b":"2","c":"`+fits+`","d":"4"`, `{"b":"2","d":"4"}`, "true")
	f(`"a":"`+fits+`v"`, `{}`, "true")
}

// TestTruncatedContextKeepsItsObject: class and object are those of the whole context.
func TestTruncatedContextKeepsItsObject(t *testing.T) {
	objects := map[string]bool{}
	for i := range 3 {
		padding := ""
		for k := range 40 {
			padding += fmt.Sprintf(`"a%d":"%s",`, k, strings.Repeat("v", 100))
		}
		rec := one(t, kmsEvent("Decrypt", `,"requestParameters":{"encryptionContext":{`+padding+fmt.Sprintf(`"z":"%d"}}`, i)))
		object := rec.text(sc.KeytrailContextObject)
		if rec.text(sc.KeytrailContextClass) != "custom" || !strings.HasPrefix(object, "sha256:") || objects[object] {
			t.Errorf("object %q, which others have: %v", object, objects[object])
		}
		objects[object] = true
		rec = one(t, kmsEvent("Decrypt", `,"requestParameters":{"encryptionContext":{`+padding+`"aws:s3:arn":"arn:aws:s3:::b/k"}}`))
		if rec.text(sc.KeytrailContextClass) != "s3_object" || rec.text(sc.KeytrailContextObject) != "arn:aws:s3:::b/k" {
			t.Error("the object that S3 names is lost behind the padding")
		}
	}
}

// FuzzAppendQuoted compares the JSON strings with encoding/json, which reads the same text.
func FuzzAppendQuoted(f *testing.F) {
	for _, s := range []string{"", "plain text of more than eight bytes", "\x00\x1f\x7f", `"\`, "12345678\"", "1234567\\", "é\u2028東京"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?") // as all text of a record is
		var got string
		if err := json.Unmarshal(appendQuoted(nil, s), &got); err != nil || got != s {
			t.Errorf("%q is read as %q (%v)", s, got, err)
		}
	})
}

// TestSeverities: a call that failed is an error and one that was refused a warning, and
// no destructive call that succeeded has the number of either.
func TestSeverities(t *testing.T) {
	for name := range weights {
		event := kmsEvent
		if trailChanges[name] {
			event = func(name, more string) string {
				return strings.Replace(kmsEvent(name, more), "kms.amazonaws.com", "cloudtrail.amazonaws.com", 1)
			}
		}
		ok := one(t, event(name, "")).rec.Severity
		refused := one(t, event(name, `,"errorCode":"AccessDenied"`)).rec.Severity
		failed := one(t, event(name, `,"errorCode":"NotFoundException"`)).rec.Severity
		if ok < 14 || ok > 16 || refused != 13 || failed != 17 {
			t.Errorf("%s: severity %d, refused %d, failed %d, want 14 to 16, 13 and 17", name, ok, refused, failed)
		}
	}
	for name, class := range classes {
		if ok := one(t, kmsEvent(name, "")).rec.Severity; (ok != 9) != (class.String() == "destroy") {
			t.Errorf("%s of class %s has severity %d", name, class, ok)
		}
	}
}

// TestDates: what AWS writes in words is a time in RFC 3339, and anything else is left out.
func TestDates(t *testing.T) {
	for words, want := range map[string]string{
		"Apr 12, 2021 18:58:30 PM": "2021-04-12T18:58:30Z", "Apr 12, 2021 6:58:30 PM": "2021-04-12T18:58:30Z",
		"Oct 21, 2026, 2:25:29 PM": "2026-10-21T14:25:29Z", "Mar 3, 2027, 12:00:00 AM": "2027-03-03T00:00:00Z",
		"Mar 3, 2027, 12:00:00 PM": "2027-03-03T12:00:00Z", "Oct 21, 2026, 2:25:29\u202fPM": "2026-10-21T14:25:29Z",
		"2026-10-21T14:25:29+02:00": "2026-10-21T12:25:29Z", "9 Mar 2026, 09:12:44": "2026-03-09T09:12:44Z", "9 Sept 2026, 09:12:44": "2026-09-09T09:12:44Z",
		"09-Mar-2026 09:12:44": "2026-03-09T09:12:44Z", "Mon Mar 09 09:12:44 UTC 2026": "2026-03-09T09:12:44Z",
		"1792592729": "2026-10-21T14:25:29Z", "1772442764.5": "2026-03-02T09:12:44Z",
		"Feb 30, 2026, 2:25:29 PM": "", "soon": "", "99999999999": "", "0": "", "T": "", "Sept 9": "",
		"Mon Mar 09 09:12:44 PST 2026": "", "9 Mrz 2026, 09:12:44": "",
	} {
		rec := one(t, kmsEvent("ScheduleKeyDeletion", fmt.Sprintf(`,"responseElements":{"deletionDate":%q}`, words)))
		if got := rec.text(sc.KeytrailKeyDeletionDate); got != want || rec.text(sc.AWSKMSDeletionDate) != words {
			t.Errorf("%s is %q, want %q, beside %q", words, got, want, rec.text(sc.AWSKMSDeletionDate))
		}
	}
}

// TestHostAndPort: the port of a Host header stands apart, and an IPv6 address has no
// brackets.
func TestHostAndPort(t *testing.T) {
	for header, want := range map[string]string{
		"kms.eu-central-1.amazonaws.com": "kms.eu-central-1.amazonaws.com 0", "kms:443": "kms 443", "kms:65535": "kms 65535",
		"kms:65536": "kms:65536 0", "kms:0": "kms:0 0", "kms:": "kms: 0", "kms:x": "kms:x 0", "[2001:db8::7]:443": "2001:db8::7 443",
		"[2001:db8::7]": "2001:db8::7 0", "2001:db8::7": "2001:db8::7 0", "::1": "::1 0", ":443": " 443", "a:b:443": "a:b:443 0",
		"": " 0", "[": "[ 0", "]:1": "] 1", "[]:1": " 1", "kms:00000443": "kms:00000443 0",
	} {
		if host, port := hostAndPort(header); fmt.Sprint(host, " ", port) != want {
			t.Errorf("%q is %q and %d, want %s", header, host, port, want)
		}
	}
}

// TestCiphers compares the names of cipher suites with those of crypto/tls, which are
// IANA's, and with openssl's own table where it is installed.
func TestCiphers(t *testing.T) {
	for name, want := range map[string]string{
		"ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
		"ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
		"TLS_AES_128_GCM_SHA256": "TLS_AES_128_GCM_SHA256", "": "", "NULL": "", "AES128-": "", "ECDHE-RSA-AES128": "",
		"ECDHE-KYBER-RSA-AES256-GCM-SHA384": "", "ECDHE-RSA-CHACHA20-POLY1305SHA": "", "AES128-GCM-SHA256-X": "",
	} {
		if got := ianaCipher(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	var known []string
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		known = append(known, s.Name)
	}
	out, err := exec.Command("openssl", "ciphers", "-stdname", "-s", "-tls1_2", "ALL").Output()
	if err != nil {
		t.Skipf("NOT COMPARED with openssl: %v", err)
	}
	compared := 0
	for line := range strings.Lines(string(out)) {
		if cells := strings.Fields(line); len(cells) > 2 && slices.Contains(known, cells[0]) {
			if compared++; ianaCipher(cells[2]) != cells[0] {
				t.Errorf("%s is %q, openssl says %s", cells[2], ianaCipher(cells[2]), cells[0])
			}
		}
	}
	if compared < 10 {
		t.Errorf("only %d suites compared", compared)
	}
}

// TestRoles: a session has the name of its role, and nobody else has any.
func TestRoles(t *testing.T) {
	for identity, want := range map[string][]string{
		`"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/billing/i-0a1"`: {"billing"},
		`"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/alice"`:                     nil,
		`"type":"Root","arn":"arn:aws:iam::111122223333:root"`:                              nil,
	} {
		rec := one(t, kmsEvent("Decrypt", `,"userIdentity":{`+identity+`}`))
		var got []string
		if a := rec.rec.Get(sc.UserRoles); a != nil {
			got = a.Strs
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s has the roles %q, want %q", identity, got, want)
		}
	}
}
