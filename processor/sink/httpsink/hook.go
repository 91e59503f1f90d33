package httpsink

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

// Hook configures a receiver whose whole URL is a secret, such as an incoming webhook of
// Slack: knowing the URL is enough to send. A sink's Config embeds them with the tag
// `yaml:",inline"`. No error, log or metric shows more of the URL than scheme and host.
type Hook struct {
	// URL is where each request goes, with its path and query.
	URL        setting.Secret `yaml:"url"`
	Connection `yaml:",inline"`
}

// Check adds the settings that cannot be used to p. reserved are the headers that the sink
// sets, in lower case. A URL in a file or from a command is checked when it is read.
func (h *Hook) Check(p *setting.Problems, reserved ...string) {
	var u *url.URL
	switch {
	case h.URL.Sourced(), h.URL.Reveal() == setting.Redacted: // the latter in a printed configuration
	case h.URL.Reveal() == "":
		p.Add("url", "is missing; want the receiver's URL, such as ${WEBHOOK_URL}")
	default:
		var err error
		if u, err = h.parse(h.URL.Reveal()); err != nil {
			p.Add("url", "%v", err)
		}
	}
	h.check(p, u, reserved)
}

// Peer is that of sink.Reaching.
func (h *Hook) Peer() sink.Peer {
	if h.URL.Sourced() {
		return sink.Peer{}
	}
	return sink.PeerOf(h.URL.Reveal(), h.TLS)
}

// Open returns a Client for the receiver. It reads the files of h.TLS and opens no
// connection.
func (h *Hook) Open() (*Client, error) {
	c, err := h.open()
	if err == nil {
		c.hook, c.parse = h.URL, h.parse
	}
	return c, err
}

// parse returns a URL that can be used. An error does not show it.
func (h *Hook) parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("does not begin with https:// or http://")
	case u.Host == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("holds a user or password; put credentials into headers")
	case u.Fragment != "":
		return nil, errors.New("holds a fragment, which is not sent; remove it")
	case u.Scheme == "http" && !h.Insecure && !sink.Loopback(u.Hostname()):
		return nil, fmt.Errorf("leads to %q, beyond this machine, without TLS; use https, or set insecure: true",
			u.Hostname())
	}
	return u, nil
}

// Hide keeps a secret that requests carry out of errors, in which the receiver may repeat
// it. name tells the secrets of a Client apart.
func (c *Client) Hide(name, secret string) { c.hidden.AddFile(name, secret) }

// leastPart is the length from which on a part of a secret URL is also hidden alone.
// Shorter ones are words such as "services".
const leastPart = 12

// address returns the URL to send to, and what may be shown of it.
func (c *Client) address(ctx context.Context) (to, shown string, err error) {
	if c.parse == nil {
		return c.base, c.base, nil
	}
	text, err := c.hook.Read(ctx)
	if err != nil {
		return "", "", &sink.Paused{Cause: sink.CauseCredentials, Err: fmt.Errorf("url: %w", err)}
	}
	u, err := c.parse(text)
	if err != nil {
		return "", "", &sink.Paused{Cause: sink.CauseAddress, Err: fmt.Errorf("url: the URL %w", err)}
	}
	c.hideURL(text, u)
	return text, u.Scheme + "://" + u.Host, nil
}

// hideURL is Hide for a URL and its parts, also as they are without escapes.
func (c *Client) hideURL(text string, u *url.URL) {
	c.Hide("url", text)
	c.Hide("query", u.RawQuery)
	for _, path := range []string{u.Path, u.EscapedPath()} {
		if len(path) > 1 {
			c.Hide("path", path)
		}
	}
	delimiter := func(r rune) bool { return strings.ContainsRune("/&=", r) }
	for i, part := range strings.FieldsFunc(u.EscapedPath()+"&"+u.RawQuery, delimiter) {
		if len(part) < leastPart {
			continue
		}
		c.Hide(fmt.Sprint("part ", i), part)
		if plain, err := url.QueryUnescape(part); err == nil {
			c.Hide(fmt.Sprint("part ", i), plain)
		}
	}
}

// scrubbed is an error whose text shows no secret of the address.
type scrubbed struct {
	err    error
	hidden *setting.Scrubber
}

func (s scrubbed) Error() string { return s.hidden.Clean(s.err.Error()) }

func (s scrubbed) Unwrap() error { return s.err }
