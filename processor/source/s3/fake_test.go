package s3

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// listed answers ListObjectsV2 as S3 does: keys in the order of their bytes, in pages,
// and folders where a delimiter is asked for. It is for one goroutine at a time but for
// its requests, which only read.
type listed struct {
	keys     map[string]time.Time // when each was put there
	fails    func() bool          // whether a request is to fail; nil for never
	requests int
}

func (b *listed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.requests++
	if b.fails != nil && b.fails() {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "<Error><Code>SlowDown</Code></Error>")
		return
	}
	type content struct {
		Key, LastModified string
		Size              int
		ETag              string
	}
	type common struct{ Prefix string }
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []content
		CommonPrefixes        []common
	}
	q := r.URL.Query()
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	limit := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		limit = n
	}
	for _, k := range slices.Sorted(maps.Keys(b.keys)) {
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
		out.Contents = append(out.Contents, content{k, b.keys[k].UTC().Format(time.RFC3339), 1, `"e"`})
	}
	w.Header().Set("Content-Type", "application/xml")
	xml.NewEncoder(w).Encode(out) // into a recorder of the server's: the client says what is wrong with it
}

// serve starts a server for the bucket, and returns a client that tries nothing twice.
func (b *listed) serve(t *testing.T) *Client {
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return NewClient(aws.Config{
		Region: "eu-central-1", BaseEndpoint: &srv.URL, Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}
