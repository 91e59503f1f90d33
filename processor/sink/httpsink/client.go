package httpsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

// MaxAnswer bounds what is read of an answer: 1 MiB, a sentence for each record of a
// large batch.
const MaxAnswer = 1 << 20

// maxAnswerHeader bounds the headers of an answer: 64 KiB.
const maxAnswerHeader = 64 << 10

// gzipLevel is the level of gzip. For batches of log records in OTLP, level 1 leaves 548 bytes of
// a record of 3,827 and takes 9 µs, level 6 leaves 431 and takes 17 µs, and level 9 leaves 407
// and takes 52 µs (bench/README.md).
const gzipLevel = 6

// pingAfter is after how long of silence an HTTP/2 connection is asked whether it is still
// there, and how long the answer may take. Without it, requests use a connection whose
// other end is gone, one after another, until the kernel gives up a quarter of an hour
// later.
const pingAfter = 15 * time.Second

// Client sends requests to one receiver. It is safe for concurrent use.
//
// It follows no redirect, as the headers may hold credentials. It bounds the time of a
// request and the bytes of an answer.
type Client struct {
	base    string                         // the endpoint without a slash at its end
	hook    setting.Secret                 // instead of it, a URL that is secret
	parse   func(string) (*url.URL, error) // checks what hook holds; nil if there is base
	hidden  *setting.Scrubber
	headers map[string]setting.Secret
	gzip    bool
	grpc    bool // see OpenGRPC
	limit   time.Duration
	http    *http.Client
	writers sync.Pool // of *gzip.Writer
}

// Open returns a Client for the receiver that s names. It reads the files of s.TLS and
// opens no connection.
func (s *Settings) Open() (*Client, error) {
	c, err := s.open()
	if err == nil {
		c.base = strings.TrimRight(s.Endpoint, "/")
	}
	return c, err
}

// open returns a Client without an address.
func (s *Connection) open() (*Client, error) {
	secured, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
		TLSClientConfig:        secured,
		TLSHandshakeTimeout:    s.Timeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConnsPerHost:    sink.MaxInFlight,
		IdleConnTimeout:        90 * time.Second,
	}
	return &Client{
		headers: s.Headers, gzip: s.Compression == CompressionGzip, limit: s.Timeout, hidden: &setting.Scrubber{},
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Request is one request. The Client compresses its body and adds the configured headers.
type Request struct {
	Method string // "" is POST
	Path   string // is added to the endpoint; escaped by the caller, and may have a query
	Type   string // the media type of Body
	// Header holds the sink's own headers, such as an id; nil for none.
	Header map[string]string
	// Secrets holds the sink's own headers whose values are secret; nil for none.
	Secrets map[string]setting.Secret
	// Body is the body in pieces, which are sent end to end. Do reads them until it returns.
	Body [][]byte
}

// Answer is what a receiver said.
type Answer struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    []byte // at most MaxAnswer bytes
	Whole   bool   // Body is not cut
	forget  func() // see Forget
	hidden  *setting.Scrubber
}

// Words returns the body as a text for errors: one line, without the secrets of the address.
func (a *Answer) Words() string {
	words := a.hidden.Clean(Clean(string(a.Body)))
	if words == "" {
		return "no reason given"
	}
	return words
}

// Media returns the media type of the body without its parameters, "" for none.
func (a *Answer) Media() string {
	kind := a.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(kind); err == nil {
		return media
	}
	return kind
}

// OK reports whether the status is one of success. The sink has to look at the body all the
// same: many receivers answer with success and lose records.
func (a *Answer) OK() bool { return a.Status/100 == 2 }

// Forget has the next request read credentials again that come from a command.
func (a *Answer) Forget() {
	if a.forget != nil {
		a.forget()
	}
}

// Do sends a request and returns the answer, whatever its status. Without an answer it
// returns an error of package sink.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	body, err := c.encode(r.Body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, fmt.Errorf("no answer within %v", c.limit))
	defer cancel()
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	to, shown, err := c.address(ctx)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, to+r.Path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot make a request to %q: %w", shown, scrubbed{err, c.hidden})
	}
	if err := c.header(ctx, request.Header, r); err != nil {
		return nil, &sink.Paused{Cause: sink.CauseCredentials, Err: err}
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.failure(ctx, shown, err)
	}
	defer func() { _ = answer.Body.Close() }()
	a := &Answer{Status: answer.StatusCode, Header: answer.Header, hidden: c.hidden,
		forget: func() { c.forget(r.Secrets) }}
	a.Body, a.Whole, err = readAnswer(answer.Body)
	a.Trailer = answer.Trailer
	if err != nil && !a.OK() {
		a.Body = nil // the status says enough
	} else if err != nil {
		// The status line of a 2xx came and its body did not: whether the receiver
		// finished is not known.
		return nil, c.failure(ctx, shown, err)
	}
	return a, nil
}

// header fills the headers of a request.
func (c *Client) header(ctx context.Context, h http.Header, r Request) error {
	h.Set("User-Agent", "keytrail")
	for _, list := range []map[string]setting.Secret{c.headers, r.Secrets} {
		for name, secret := range list {
			text, err := secret.Read(ctx)
			if err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
			h.Set(name, text)
		}
	}
	for name, text := range r.Header {
		h.Set(name, text)
	}
	if r.Type != "" {
		h.Set("Content-Type", r.Type)
	}
	coding := "Content-Encoding"
	if c.grpc {
		coding = "Grpc-Encoding"
		h.Set("Te", "trailers")
		h.Set("Grpc-Accept-Encoding", "identity,gzip")
		h.Set("Grpc-Timeout", strconv.FormatInt(c.limit.Milliseconds(), 10)+"m")
	}
	if c.gzip && len(r.Body) > 0 {
		h.Set(coding, "gzip")
	}
	return nil
}

// forget has the credentials read again for the next request.
func (c *Client) forget(more map[string]setting.Secret) {
	for secret := range maps.Values(c.headers) {
		secret.Forget()
	}
	for secret := range maps.Values(more) {
		secret.Forget()
	}
	c.hook.Forget()
}

// failure says that there was no answer, and names the time limit if it was that.
func (c *Client) failure(ctx context.Context, shown string, err error) error {
	var of *url.Error // repeats the URL
	if errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, context.Cause(ctx))
		// The receiver's machine may be gone. HTTP/2 would use the connection for the next
		// request, too.
		c.http.CloseIdleConnections()
	}
	return Failure(fmt.Errorf("cannot send to %q: %w", shown, scrubbed{err, c.hidden}))
}

// encode returns the body of a request. The buffer is new each time: net/http may read a
// body even after its request has returned.
func (c *Client) encode(pieces [][]byte) ([]byte, error) {
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	if !c.gzip || len(pieces) == 0 {
		return c.framed(bytes.Join(pieces, nil), false), nil
	}
	// CloudTrail events deflate to an eighth or less.
	body := bytes.NewBuffer(make([]byte, 0, size/4+1024))
	z, _ := c.writers.Get().(*gzip.Writer)
	if z == nil {
		var err error
		if z, err = gzip.NewWriterLevel(body, gzipLevel); err != nil {
			return nil, fmt.Errorf("cannot compress a batch: %w", err)
		}
	}
	defer c.writers.Put(z)
	z.Reset(body)
	for _, p := range pieces {
		if _, err := z.Write(p); err != nil {
			return nil, fmt.Errorf("cannot compress a batch: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("cannot compress a batch: %w", err)
	}
	return c.framed(body.Bytes(), true), nil
}

// framed returns a body as the protocol sends it.
func (c *Client) framed(body []byte, packed bool) []byte {
	if !c.grpc {
		return body
	}
	return frame(body, packed)
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// readAnswer reads a body up to MaxAnswer. It reports whether that is all of it.
func readAnswer(body io.Reader) (said []byte, whole bool, err error) {
	said, err = io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	if len(said) > MaxAnswer {
		return said[:MaxAnswer], false, err
	}
	return said, err == nil, err
}
