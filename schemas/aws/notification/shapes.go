package notification

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// shapeOf holds the names that tell a shape, with the types of the values that
// they have there; "" is any. detail-type is told by isObjectEvent.
var shapeOf = []struct{ name, types string }{
	{"s3", "{"},           // a record of S3
	{"s3ObjectKey", ""},   // CloudTrail's own
	{"Records", "["},      // S3's list; Lambda's of SQS and SNS messages
	{"Messages", "["},     // what SQS ReceiveMessage returns
	{"Message", "\"{["},   // SNS
	{"Sns", "{"},          // SNS inside Lambda's record
	{"Body", "\""},        // SQS
	{"body", "\""},        // SQS, as Lambda writes it
	{"detail-type", "\""}, // EventBridge
}

// shapes returns the names in m that tell a shape. More than one is two messages
// in one object, of which two readers may see different ones.
func (m object) shapes() (names []string) {
	for _, s := range shapeOf {
		switch c := m.kind(s.name); {
		case c == 0, s.types != "" && strings.IndexByte(s.types, c) < 0:
		case s.name == "detail-type" && !m.isObjectEvent():
		default:
			names = append(names, s.name)
		}
	}
	return names
}

// s3Record reads one record of an S3 event notification. MinIO writes the same
// with its own eventSource and "s3:" before the event's name, and encodes keys
// alike; how others encode them is not known, so they are refused.
func (r *reader) s3Record(m object) Object {
	if source := r.optional(m, "eventSource"); source != "aws:s3" && source != "minio:s3" {
		r.fail(ReasonPart, `expected "aws:s3" or "minio:s3" under "eventSource", found `+clip(source))
	}
	s3 := r.object(m, "s3")
	bucket, o := r.object(s3, "bucket"), r.object(s3, "object")
	key, err := url.QueryUnescape(r.text(o, "key"))
	if err != nil {
		r.fail(ReasonName, "the key is not encoded as S3 encodes keys: "+err.Error())
	}
	return Object{
		Form:      FormS3,
		Event:     strings.TrimPrefix(r.text(m, "eventName"), "s3:"),
		Bucket:    r.text(bucket, "name"),
		Key:       key,
		Region:    r.optional(m, "awsRegion"),
		Size:      r.size(o, "size"),
		ETag:      r.optional(o, "eTag"),
		VersionID: r.optional(o, "versionId"),
		Sequencer: r.optional(o, "sequencer"),
	}
}

// isObjectEvent reports whether m is an EventBridge event in which S3 names an
// object. CloudTrail's events about S3 have the same source, and a detail-type
// that ends in "via CloudTrail".
func (m object) isObjectEvent() bool {
	r := reader{}
	return r.optional(m, "source") == "aws.s3" && strings.HasPrefix(r.optional(m, "detail-type"), "Object ")
}

// eventBridge reads an EventBridge event of S3. Its keys are not encoded.
func (r *reader) eventBridge(m object) Object {
	detail := r.object(m, "detail")
	bucket, o := r.object(detail, "bucket"), r.object(detail, "object")
	return Object{
		Form:      FormEventBridge,
		Event:     r.text(m, "detail-type"),
		Bucket:    r.text(bucket, "name"),
		Key:       r.text(o, "key"),
		Region:    r.optional(m, "region"),
		Account:   r.optional(m, "account"),
		Size:      r.size(o, "size"),
		ETag:      r.optional(o, "etag"),
		VersionID: r.optional(o, "version-id"),
		Sequencer: r.optional(o, "sequencer"),
	}
}

// cloudTrail reads CloudTrail's own notification: keys of one bucket, not
// encoded. AWS Config writes the same with one key as a string.
func (p *parser) cloudTrail(m object, raw []byte, at string) {
	r := reader{}
	bucket := r.text(m, "s3Bucket")
	switch {
	case r.fault != nil:
		p.bad(at, raw, r.fault)
		return
	case m.kind("s3ObjectKey") == '"':
		key := r.text(m, "s3ObjectKey")
		p.object(at, raw, Object{Form: FormCloudTrail, Bucket: bucket, Key: key, Size: -1}, r.fault)
		return
	case m.kind("s3ObjectKey") != '[':
		found := describe(m.kind("s3ObjectKey"))
		p.bad(at, raw, &fault{ReasonPart, `expected a list of keys under "s3ObjectKey", found ` + found})
		return
	}
	n := 0
	for item := range items(m["s3ObjectKey"]) {
		key := reader{}
		if item[0] != '"' {
			key.fail(ReasonPart, "expected a key in quotes, found "+describe(object{"": item}.kind("")))
		}
		o := Object{Form: FormCloudTrail, Bucket: bucket, Size: -1}
		if key.fault == nil {
			o.Key = key.str(item)
		}
		p.object(fmt.Sprintf("%s[%d]", join(at, "s3ObjectKey"), n), item, o, key.fault)
		n++
	}
	if n == 0 {
		p.notice(NoticeEmpty, "a CloudTrail notification for bucket "+clip(bucket)+" without keys")
	}
}

// created reports whether the object is there to be fetched. Events of removal,
// expiry, restoring, storage classes, tags and ACLs name objects that are gone,
// cannot be read, or have been read.
func (o *Object) created() bool {
	switch o.Form {
	case FormS3:
		return strings.HasPrefix(o.Event, "ObjectCreated")
	case FormEventBridge:
		return o.Event == "Object Created"
	}
	return true
}

// Names become parts of the address that a client asks, so nothing in them may
// end a host name. Bucket names have 3 to 63 characters today; in us-east-1 old
// ones have up to 255, with capitals and underscores.
var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)
	regionName = regexp.MustCompile(`^[A-Za-z0-9-]{0,40}$`)
)

// maxKey is the length of an S3 key in bytes at most.
const maxKey = 1024

// check reports whether the names can be those of an object.
func (o *Object) check() *fault {
	switch {
	case !bucketName.MatchString(o.Bucket):
		return &fault{ReasonName, "no bucket can have the name " + clip(o.Bucket)}
	case !regionName.MatchString(o.Region):
		return &fault{ReasonName, "no region can have the name " + clip(o.Region)}
	case o.Key == "":
		return &fault{ReasonName, "the key is empty"}
	case len(o.Key) > maxKey:
		return &fault{ReasonName, fmt.Sprintf("the key has %d bytes; S3's limit is %d", len(o.Key), maxKey)}
	case !utf8.ValidString(o.Key):
		return &fault{ReasonUTF8, "the key does not decode to UTF-8"}
	}
	return nil
}
