package generate

// These functions append JSON. Generated values need no escaping, because they consist of
// checked parts; external texts (key policies) do, so appendText escapes every text.

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, '\\', 'n')
		case b < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}

// appendName appends "name": .
func appendName(dst []byte, name string) []byte {
	return append(append(append(dst, '"'), name...), `":`...)
}

// appendField appends "name":"value" and a comma.
func appendField(dst []byte, name, value string) []byte {
	return append(appendText(appendName(dst, name), value), ',')
}

// appendBool appends "name":true or "name":false, and a comma.
func appendBool(dst []byte, name string, value bool) []byte {
	if value {
		return append(appendName(dst, name), "true,"...)
	}
	return append(appendName(dst, name), "false,"...)
}

// closeObject ends an object: it replaces the last comma by the brace.
func closeObject(dst []byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst[len(dst)-1] = '}'
		return dst
	}
	return append(dst, '}')
}
