package awstest

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Bucket answers GetObject and ListObjectsV2 like S3, from memory, so that a test can use
// thousands of buckets: keys in byte order, in pages, and folders if a delimiter is
// given. Objects may be changed between requests.
type Bucket struct {
	Objects map[string]Object
	Fails   func() bool // reports whether the next request fails; nil for never
	Page    int         // most keys in one answer; 0 means S3's limit

	mu       sync.Mutex // guards requests
	requests int
}

// Object is the content of a Bucket under one key.
type Object struct {
	Content  []byte
	Metadata map[string]string
	At       time.Time // time of the upload
}

// Serve starts a server for the bucket for the duration of a test, and returns a
// configuration whose clients do not retry.
func (b *Bucket) Serve(t testing.TB) aws.Config {
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return aws.Config{
		Region: Region, BaseEndpoint: &srv.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
}

// Requests returns the number of answered requests.
func (b *Bucket) Requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// ServeHTTP answers one request.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.requests++
	fails := b.Fails != nil && b.Fails()
	b.mu.Unlock()
	_, key, isObject := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case fails:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "<Error><Code>SlowDown</Code></Error>")
	case isObject && key != "":
		b.get(w, key)
	default:
		b.list(w, r)
	}
}

func (b *Bucket) get(w http.ResponseWriter, key string) {
	o, ok := b.Objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	for name, value := range o.Metadata {
		w.Header().Set("X-Amz-Meta-"+name, value)
	}
	w.Header().Set("ETag", `"e"`)
	w.Write(o.Content) // the client reports the error
}

// listing is the answer to ListObjectsV2.
type listing struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           bool
	NextContinuationToken string
	Contents              []content
	CommonPrefixes        []common
}

type content struct {
	Key, LastModified string
	Size              int
	ETag              string
}

type common struct{ Prefix string }

func (b *Bucket) list(w http.ResponseWriter, r *http.Request) {
	var out listing
	q := r.URL.Query()
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	limit := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		limit = n
	}
	if b.Page > 0 {
		limit = min(limit, b.Page)
	}
	for _, k := range slices.Sorted(maps.Keys(b.Objects)) {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if i := strings.Index(k[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			if p := (common{k[:len(prefix)+i+1]}); !slices.Contains(out.CommonPrefixes, p) {
				out.CommonPrefixes = append(out.CommonPrefixes, p)
			}
			continue
		}
		if len(out.Contents) == limit {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[limit-1].Key
			break
		}
		out.Contents = append(out.Contents, content{k, b.Objects[k].At.UTC().Format(time.RFC3339), 1, `"e"`})
	}
	w.Header().Set("Content-Type", "application/xml")
	xml.NewEncoder(w).Encode(out) // the client reports the error
}
