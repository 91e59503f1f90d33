package sink

import (
	"net/url"
	"testing"

	"golang.org/x/net/http/httpproxy"
)

// TestLoopback: a host that needs no TLS is one that no proxy of the environment gets.
func TestLoopback(t *testing.T) {
	proxy := (&httpproxy.Config{HTTPProxy: "http://proxy.example:3128"}).ProxyFunc()
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": false, "127.0.0.1": true, "127.8.9.1": true, "::1": true,
		"siem.localhost": false, "localhost.": false, "localhost.example": false, "10.0.0.1": false, "": false, "0.0.0.0": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%q: loopback %v, want %v", host, got, want)
		}
		at := url.URL{Scheme: "http", Host: host}
		if host == "::1" {
			at.Host = "[::1]"
		}
		if by, err := proxy(&at); err != nil || want && by != nil {
			t.Errorf("%q is this machine, and a proxy gets its requests: %v (%v)", host, by, err)
		}
	}
}
