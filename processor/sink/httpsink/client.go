package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// MaxAnswer bounds what is read of an answer: 1 MiB, a sentence for each record of a
// large batch.
const MaxAnswer = 1 << 20

// maxAnswerHeader bounds the headers of an answer: 64 KiB.
const maxAnswerHeader = 64 << 10

// pingAfter is after how long of silence a connection of HTTP/2 is asked whether it is
// still there, and how long the answer may take. Without it, requests go to a connection
// whose other end is gone, one after another, until the kernel gives up, a quarter of an
// hour later.
const pingAfter = 15 * time.Second

// NewClient returns a client that follows no redirect, as the headers may hold
// credentials, and that bounds the headers of an answer and the time of a handshake.
// caFile names a PEM file of the authorities that sign the receiver's certificate; ""
// means those of the system.
func NewClient(caFile string, handshake time.Duration) (*http.Client, error) {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshake,
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConns:           4, // one a consumer, and there is one consumer a sink
		IdleConnTimeout:        90 * time.Second,
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use ca_file %q: it holds no certificate in PEM form", caFile)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// ReadAnswer reads a body up to MaxAnswer. It reports whether that is all of it.
func ReadAnswer(body io.Reader) (said []byte, whole bool, err error) {
	said, err = io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	if len(said) > MaxAnswer {
		return said[:MaxAnswer], false, err
	}
	return said, err == nil, err
}
