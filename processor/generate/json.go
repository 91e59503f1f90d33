package generate

// The functions here append JSON. Values are made up from checked parts, so that
// only texts from outside them (key policies) need escaping; appendText escapes
// whatever it is given.

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

// appendField appends "name":"value", with a comma behind.
func appendField(dst []byte, name, value string) []byte {
	return append(appendText(appendName(dst, name), value), ',')
}

// appendBool appends "name":true, or "name":false, with a comma behind.
func appendBool(dst []byte, name string, value bool) []byte {
	if value {
		return append(appendName(dst, name), "true,"...)
	}
	return append(appendName(dst, name), "false,"...)
}

// closeObject ends an object: the last field's comma becomes the brace.
func closeObject(dst []byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst[len(dst)-1] = '}'
		return dst
	}
	return append(dst, '}')
}
