package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// MaxFileBytes bounds one file after inflating: 1 GiB, twenty times CloudTrail's largest
// files (about 50 MB). The oracle holds one file at a time.
const MaxFileBytes = 1 << 30

// AddFile adds the records of one file, or of every regular file in and below a directory
// (skipping links). An error names the file; records read before it stay counted.
func (j *Judge) AddFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if !info.IsDir() {
		return j.addOne(path)
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read %q: %w", name, err)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		return j.addOne(name)
	})
}

// addOne adds the records of one file.
func (j *Judge) addOne(path string) error {
	text, err := readFile(path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if err := j.AddText(text); err != nil {
		return fmt.Errorf("cannot count %q: %w", path, err)
	}
	return nil
}

// readFile returns a file's bytes.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err == nil && len(text) > MaxFileBytes {
		err = fmt.Errorf("more than %d bytes: split the file", MaxFileBytes)
	}
	return text, err
}

// opensEnvelope matches the beginning of a document with many records.
var opensEnvelope = regexp.MustCompile(`^(\[|\{\s*"Records"\s*:)`)

// AddText adds the records of one text in any of the envelopes of the package comment.
// The text may be reused afterwards. The error is for a broken document with many
// records, because their number is unknown.
func (j *Judge) AddText(text []byte) error {
	text, err := plainText(text)
	if err != nil {
		return err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil
	}
	if json.Valid(text) {
		return j.addDocument(text)
	}
	var lines [][]byte
	good := 0
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			line = lineDocument(line)
			lines = append(lines, line)
			if json.Valid(line) {
				good++
			}
		}
	}
	if good == 0 {
		lines = [][]byte{text} // one broken document over several lines
	}
	for i, line := range lines {
		switch {
		case json.Valid(line):
			if err := j.addDocument(line); err != nil {
				return err
			}
		case opensEnvelope.Match(line):
			return fmt.Errorf("line %d opens a list of records and is not JSON: mend or split it", i+1)
		default:
			j.bad()
		}
	}
	return nil
}

// addDocument adds the records of one valid JSON document.
func (j *Judge) addDocument(text json.RawMessage) error {
	if list, ok := inside(text); ok {
		for _, item := range list {
			if err := j.addDocument(item); err != nil {
				return err
			}
		}
		return nil
	}
	if text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return err
		}
		for _, item := range list {
			for inner, ok := inside(item); ok && len(inner) == 1; inner, ok = inside(item) {
				item = inner[0]
			}
			j.addSingle(item)
		}
		return nil
	}
	var fields map[string]json.RawMessage
	if text[0] == '{' {
		if err := json.Unmarshal(text, &fields); err != nil {
			return err
		}
	}
	if records := fields["Records"]; len(records) > 0 && records[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(records, &list); err != nil {
			return err
		}
		for _, item := range list {
			j.AddRecord(item)
		}
		return nil
	}
	j.addSingle(text)
	return nil
}

// addSingle adds a document with one record: an EventBridge event, a record under "log",
// or the record itself.
func (j *Judge) addSingle(text json.RawMessage) {
	var fields map[string]json.RawMessage
	if _, ok := decode(text); !ok || text[0] != '{' || json.Unmarshal(text, &fields) != nil {
		j.bad()
		return
	}
	detail, log := fields["detail"], fields["log"]
	switch {
	case fields["detail-type"] != nil && isObject(detail):
		var inner map[string]json.RawMessage
		if json.Unmarshal(detail, &inner) != nil || inner["eventVersion"] == nil {
			j.bad()
			return
		}
		j.AddRecord(detail)
	case isObject(log):
		j.AddRecord(log)
	case fields["eventVersion"] != nil, fields["eventSource"] != nil, fields["eventName"] != nil:
		j.AddRecord(text)
	default:
		j.bad()
	}
}

func isObject(text json.RawMessage) bool { return len(text) > 0 && text[0] == '{' }

// decode decodes a JSON text without surrounding space. ok is false if it is invalid, or
// any object in it has one name twice.
func decode(text []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	ok = dec.Decode(&v) == nil && dec.InputOffset() == int64(len(text))
	return v, ok && !saysTwice(text)
}
