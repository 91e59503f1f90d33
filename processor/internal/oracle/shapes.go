package oracle

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plainText removes the wrappings of tools from text: gzip, once or repeatedly, UTF-16,
// and a byte order mark.
func plainText(text []byte) ([]byte, error) {
	for bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
		inflated, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		text, err = io.ReadAll(io.LimitReader(inflated, MaxFileBytes+1))
		if err == nil && len(text) > MaxFileBytes {
			err = fmt.Errorf("more than %d bytes inflated: split the file", MaxFileBytes)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), len(text) > 3 && text[1] == 0 && text[3] == 0 && text[0] != 0:
		text = fromUTF16(text, binary.LittleEndian)
	case bytes.HasPrefix(text, []byte{0xfe, 0xff}), len(text) > 3 && text[0] == 0 && text[2] == 0 && text[1] != 0:
		text = fromUTF16(text, binary.BigEndian)
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

func fromUTF16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// timeInFront matches the part before a line's JSON in logs: a time or a syslog priority,
// and words without quotes or braces.
var timeInFront = regexp.MustCompile(`^(<\d{1,3}>|\[?\d{4}-|\d{10,}\s|[A-Z][a-z]{2}[ ,])[^"{}]*$`)

// lineDocument returns the JSON of a line, without a log shipper's prefix.
func lineDocument(line []byte) []byte {
	line = bytes.TrimSuffix(bytes.TrimPrefix(line, []byte{0x1e}), []byte(","))
	if n := bytes.IndexByte(line, '{'); n > 0 && !json.Valid(line) && timeInFront.Match(line[:n]) {
		return line[n:]
	}
	return line
}

// inside returns the documents in a query's answer, a search's hit or a string; ok is
// false for any other document.
func inside(text json.RawMessage) (list []json.RawMessage, ok bool) {
	if text[0] == '"' {
		var s string
		if json.Unmarshal(text, &s) == nil && json.Valid([]byte(s)) && strings.HasPrefix(strings.TrimSpace(s), "{") {
			return []json.RawMessage{json.RawMessage(strings.TrimSpace(s))}, true
		}
		return nil, false
	}
	var answer struct {
		Results         []json.RawMessage
		QueryResultRows [][]map[string]json.RawMessage
		Hits            struct{ Hits []json.RawMessage }
		Result          map[string]json.RawMessage
		Source          map[string]json.RawMessage `json:"_source"`
		Raw             json.RawMessage            `json:"_raw"`
		EventJSON       json.RawMessage            `json:"eventJson"`
		Message         json.RawMessage            `json:"@message"`
		RawData         json.RawMessage            `json:"raw_data"`
		Log, Event      json.RawMessage            // a shipper's line, when it is a string
		Line            json.RawMessage            `json:"message"`
		EventVersion    json.RawMessage
	}
	if text[0] != '{' || json.Unmarshal(text, &answer) != nil {
		return nil, false
	}
	for _, row := range answer.QueryResultRows {
		for _, cell := range row {
			if v := cell["eventJson"]; v != nil {
				list = append(list, v)
			}
		}
	}
	for _, row := range answer.Results {
		var cells []struct {
			Field string
			Value json.RawMessage
		}
		if json.Unmarshal(row, &cells) != nil {
			list = append(list, row)
		}
		for _, cell := range cells {
			if cell.Field == "@message" {
				list = append(list, cell.Value)
			}
		}
	}
	list = append(list, answer.Hits.Hits...)
	for _, v := range []json.RawMessage{answer.Result["_raw"], answer.Raw, answer.EventJSON, answer.Message,
		answer.RawData, original(answer.Source)} {
		if v != nil {
			list = append(list, v)
		}
	}
	for _, v := range []json.RawMessage{answer.Line, answer.Log, answer.Event} {
		if len(list) == 0 && answer.EventVersion == nil && len(v) > 0 && v[0] == '"' {
			list = append(list, v)
		}
	}
	return list, len(list) > 0
}

// original returns an Elasticsearch document's copy of the event.
func original(source map[string]json.RawMessage) json.RawMessage {
	var event struct{ Original json.RawMessage }
	if json.Unmarshal(source["event"], &event) == nil && event.Original != nil {
		return event.Original
	}
	for _, name := range []string{"event.original", "message"} {
		if v := source[name]; v != nil {
			return v
		}
	}
	if source["eventVersion"] == nil {
		return nil
	}
	whole, err := json.Marshal(source)
	if err != nil {
		return nil
	}
	return whole
}

// saysTwice reports whether any object in valid JSON has one name twice. It compares
// halves of surrogate pairs, which encoding/json decodes to one character, as written.
func saysTwice(text []byte) bool {
	type object struct {
		names map[string]bool
		value bool // the next token is one
	}
	var open []*object // nil for a list
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	for {
		from := dec.InputOffset()
		token, err := dec.Token()
		if err != nil {
			return false
		}
		delim, _ := token.(json.Delim)
		if delim == '}' || delim == ']' {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1] != nil {
			top := open[n-1]
			if top.value = !top.value; top.value {
				name := spelled(text[from:dec.InputOffset()])
				if top.names[name] {
					return true
				}
				top.names[name] = true
				continue
			}
		}
		switch delim {
		case '{':
			open = append(open, &object{names: map[string]bool{}})
		case '[':
			open = append(open, nil)
		}
	}
}

// spelled returns the code units of the JSON string in a piece of valid JSON.
func spelled(piece []byte) string {
	var b strings.Builder
	s := string(piece[bytes.IndexByte(piece, '"')+1 : bytes.LastIndexByte(piece, '"')])
	for len(s) > 0 {
		n := 1
		switch {
		case strings.HasPrefix(s, `\u`):
			n = 6
			unit, err := strconv.ParseUint(s[2:6], 16, 16)
			if err != nil {
				return string(piece)
			}
			fmt.Fprintf(&b, "%04x", unit)
			s = s[n:]
			continue
		case s[0] == '\\':
			n = 2
		default:
			_, n = utf8.DecodeRuneInString(s)
		}
		var part string
		if json.Unmarshal([]byte(`"`+s[:n]+`"`), &part) != nil {
			return string(piece)
		}
		for _, unit := range utf16.Encode([]rune(part)) {
			fmt.Fprintf(&b, "%04x", unit)
		}
		s = s[n:]
	}
	return b.String()
}
