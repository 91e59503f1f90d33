package normalize

import (
	"strconv"
	"strings"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// connection writes what carried the request.
func connection(t *cloudtrail.TLS, rec *otellog.Record) {
	host, port := hostAndPort(t.Host)
	rec.String(semconv.ServerAddress, host)
	if port != 0 {
		rec.Int(semconv.ServerPort, port)
	}
	if v, ok := strings.CutPrefix(t.Version, "TLSv"); ok {
		rec.String(semconv.TLSProtocolName, "tls")
		rec.String(semconv.TLSProtocolVersion, v)
	}
	rec.String(semconv.TLSCipher, ianaCipher(t.Cipher))
	rec.String(semconv.TLSCurve, t.KeyExchange)
}

// hostAndPort splits the value of a Host header, HOST, HOST:PORT or [IPV6]:PORT, as
// RFC 9110, section 7.2, has it. Without a port from 1 to 65535 it is all host.
func hostAndPort(header string) (host string, port int64) {
	host = header
	if i := strings.LastIndexByte(header, ':'); i >= 0 && len(header)-i <= len(":65535") && digits(header[i+1:]) {
		n, _ := strconv.ParseInt(header[i+1:], 10, 64)
		bracketed := strings.HasPrefix(header, "[") && header[i-1] == ']'
		if n > 0 && n < 1<<16 && (bracketed || strings.IndexByte(header, ':') == i) {
			host, port = header[:i], n
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = inner[:len(inner)-1]
	}
	return host, port
}

// digits reports whether s is one or more decimal digits.
func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// The parts of OpenSSL's names of cipher suites, and the same parts in IANA's names. The
// longer ones come first.
var (
	keyExchanges = [...][2]string{
		{"ECDHE-ECDSA-", "ECDHE_ECDSA"}, {"ECDHE-RSA-", "ECDHE_RSA"}, {"DHE-RSA-", "DHE_RSA"}, {"DHE-DSS-", "DHE_DSS"}, {"", "RSA"},
	}
	ciphers = [...][2]string{
		{"AES128-GCM-", "AES_128_GCM"}, {"AES256-GCM-", "AES_256_GCM"}, {"CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256"},
		{"AES128-", "AES_128_CBC"}, {"AES256-", "AES_256_CBC"}, {"DES-CBC3-", "3DES_EDE_CBC"}, {"RC4-", "RC4_128"},
	}
	digests = [...][2]string{{"SHA256", "_SHA256"}, {"SHA384", "_SHA384"}, {"SHA", "_SHA"}, {"MD5", "_MD5"}, {"", ""}}
)

// ianaCipher returns the name that IANA registered for a cipher suite, given that name or
// OpenSSL's. It returns "" for a name that is neither.
//
// Source: IANA registry "TLS Cipher Suites"; OpenSSL, openssl-ciphers(1), "CIPHER SUITE
// NAMES".
func ianaCipher(name string) string {
	if strings.HasPrefix(name, "TLS_") || name == "" {
		return name
	}
	exchange, rest := part(keyExchanges[:], name)
	cipher, rest := part(ciphers[:], rest)
	digest, rest := part(digests[:], rest)
	if cipher == "" || rest != "" || (digest == "") != strings.HasSuffix(cipher, "SHA256") {
		return ""
	}
	return "TLS_" + exchange + "_WITH_" + cipher + digest
}

// part cuts the first part of a table that name begins with, and returns its counterpart
// and what is left.
func part(table [][2]string, name string) (counterpart, rest string) {
	for _, p := range table {
		if rest, ok := strings.CutPrefix(name, p[0]); ok {
			return p[1], rest
		}
	}
	return "", name
}
