package otellog

// EncodeResource encodes attributes as the resource of a record holds them, for
// AppendWithResource.
func EncodeResource(attrs []Attr) (encoded []byte) {
	for i := range attrs {
		encoded = appendAttr(encoded, tagAttributes, &attrs[i])
	}
	return encoded
}

// AppendWithResource appends requests that stand end to end, as AppendRequest made them,
// with further attributes in the resource of each, and returns the extended slice. encoded
// is from EncodeResource, and must not have a name that a resource has already. From the
// first bytes on that AppendRequest does not write, requests is appended as it is.
func AppendWithResource(dst, requests, encoded []byte) []byte {
	for len(requests) > 0 {
		tag, logs, _, rest, err := field(requests)
		if err != nil || tag != tagResourceLogs {
			break
		}
		tag, resource, _, others, err := field(logs)
		if err != nil || tag != tagResource {
			break
		}
		size := len(resource) + len(encoded)
		dst = appendLen(dst, tagResourceLogs, lenSize(size)+len(others))
		dst = append(append(appendLen(dst, tagResource, size), resource...), encoded...)
		dst, requests = append(dst, others...), rest
	}
	return append(dst, requests...)
}
