package cloudtrail

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding/unicode"
)

// This file names what is not CloudTrail's JSON by how an object begins.

// headBytes is how much of an object is looked at to tell its format: a tar header.
const headBytes = 512

// formats are the formats that are told by their first bytes, and what to do with
// them. Sources: the formats' own specifications and the file(1) database.
var formats = []struct{ magic, name string }{
	{"PK\x03\x04", "a zip archive: unpack it first"},
	{"PK\x05\x06", "an empty zip archive"},
	{"PAR1", "a Parquet file: export the records as JSON"},
	{"PARE", "an encrypted Parquet file: export the records as JSON"},
	{"Obj\x01", "an Avro file: export the records as JSON"},
	{"ORC\x0a", "an ORC file: export the records as JSON"},
	{"ORC\x11", "an ORC file: export the records as JSON"},
	{"ARROW1", "an Arrow file: export the records as JSON"},
	{"\xfd7zXZ\x00", "an xz file: unpack it first"},
	{"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"},
	{"BZh", "a bzip2 file: unpack it first"},
	{"\x04\x22\x4d\x18", "an lz4 file: unpack it first"},
	{"\xff\x06\x00\x00sNaPpY", "a Snappy file: unpack it first"},
	{"\x82SNAPPY\x00", "a Snappy file: unpack it first"},
	{"\x1f\x9d", "a file of compress: unpack it first"},
	{"\x89LZO\x00", "an lzop file: unpack it first"},
	{"LZIP", "an lzip file: unpack it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"},
	{"Rar!\x1a\x07", "a RAR archive: unpack it first"},
	{"%PDF-", "a PDF document"},
	{"SQLite format 3\x00", "an SQLite database"},
	{"ElfFile\x00", "a Windows event log"},
	{"\x7fELF", "a program"},
	{"MZ\x90", "a program"},
	{"\x89PNG", "an image"},
	{"\xff\xd8\xff", "an image"},
	{"GIF8", "an image"},
	{"\xd0\xcf\x11\xe0", "a Microsoft Office document: export it as CSV"},
	{"Salted__", "a file that OpenSSL encrypted: decrypt it first"},
	{"-----BEGIN PGP MESSAGE-----", "a PGP message: decrypt it first"},
	{"-----BEGIN AGE ENCRYPTED FILE-----", "a file that age encrypted: decrypt it first"},
	{"age-encryption.org/", "a file that age encrypted: decrypt it first"},
	{"-----BEGIN ", "a PEM file, and not a trail"},
	{"AWSCrypto", "a file that was encrypted at the client: decrypt it first"},
	{"\xff\xfe\x00\x00", "text in UTF-32: convert it to UTF-8"},
	{"\x00\x00\xfe\xff", "text in UTF-32: convert it to UTF-8"},
}

// foreign names the format of an object that begins with head, or returns "" when it
// may be text that holds events.
func foreign(head []byte) string {
	for _, f := range formats {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "a tar archive: name it .tar, or unpack it first"
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte(mark)), whiteSpace)
	lower := strings.ToLower(string(head[:min(len(head), 64)]))
	switch {
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
		return "an HTML page, such as an error or a login page"
	case strings.HasPrefix(lower, "<?xml"), strings.HasPrefix(lower, "<error>"):
		return "an XML document, such as an error of S3"
	case strings.HasPrefix(lower, "---\n"), strings.HasPrefix(lower, "events:\n"),
		strings.HasPrefix(lower, "records:\n"), strings.HasPrefix(lower, "events:\r\n"):
		return "a YAML document: export it as JSON"
	case strings.HasPrefix(lower, "----------"), strings.HasPrefix(lower, "+--------"):
		return "a table, such as the AWS CLI prints: use --output json"
	case len(head) > 0 && head[0] != 0 &&
		(head[0] < ' ' && head[0] != recordSeparator || head[0] >= 0x7f && !startsRune(head)):
		return "binary data, such as an encrypted or compressed object"
	}
	return ""
}

// recordSeparator begins each text of a JSON text sequence (RFC 7464).
const recordSeparator = 0x1e

// startsRune reports whether b begins with a character of UTF-8, cut or not.
func startsRune(b []byte) bool {
	if len(b) < 4 {
		return true
	}
	return strings.ToValidUTF8(string(b[:4]), "") != "" && b[0] >= 0xc2
}

// utf16Order reports whether text that begins with head is UTF-16, and in which order,
// by its byte order mark or because every other byte of its first characters is 0: JSON
// begins with ASCII.
func utf16Order(head []byte) (order unicode.Endianness, wide bool) {
	if len(head) < 4 {
		return order, false
	}
	if head[0] == 0xff && head[1] == 0xfe && (head[2] != 0 || head[3] != 0) {
		return unicode.LittleEndian, true
	}
	if head[0] == 0xfe && head[1] == 0xff {
		return unicode.BigEndian, true
	}
	var zeros [2]int
	n := min(len(head), 16) &^ 1
	for i, c := range head[:n] {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case zeros[0] == 0 && zeros[1] == n/2:
		return unicode.LittleEndian, true
	case zeros[1] == 0 && zeros[0] == n/2:
		return unicode.BigEndian, true
	}
	return order, false
}
