package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"keytrail/processor/config"
	"keytrail/processor/kafka"
	"keytrail/processor/sink"
	"keytrail/processor/source/feed"
)

// peerTimeout bounds the connection to one receiver.
const peerTimeout = 5 * time.Second

// peers connects to the receivers of sinks, and examines certificates.
func (d *examining) peers(ctx context.Context, cfg *config.Config) {
	for _, s := range cfg.Sinks {
		to, ok := s.To.(sink.Reaching)
		if !ok {
			continue
		}
		if peer := to.Peer(); peer.Address != "" {
			within, cancel := context.WithTimeout(ctx, peerTimeout)
			d.peer(within, s.Name, peer)
			cancel()
		}
	}
}

// peer connects to the receiver of the named sink.
func (d *examining) peer(ctx context.Context, name string, p sink.Peer) {
	settings, err := p.TLS.Config()
	if err != nil {
		d.add("certificates", sevError, fmt.Sprintf("sink %s: %v", name, err), "correct the files of the sink's tls")
		return
	}
	if pair := settings.GetClientCertificate; pair != nil {
		if own, err := pair(nil); err == nil && own.Leaf != nil {
			d.found(kafka.Certificate("the client of sink "+name+" ("+p.TLS.CertFile+")", own.Leaf.NotAfter))
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
	if err != nil { // a proxy of the environment may reach it nevertheless
		d.add("addresses", sevWarning, fmt.Sprintf("sink %s: %v", name, err),
			"check the endpoint, and names, firewalls and routes of this machine; behind a proxy run keytrail sinks test "+name)
		return
	}
	defer conn.Close()
	d.add("addresses", sevOK, fmt.Sprintf("sink %s: %s accepts connections", name, p.Address), "")
	if !p.Encrypted {
		return
	}
	if settings.ServerName == "" {
		settings.ServerName, _, _ = net.SplitHostPort(p.Address)
	}
	over := tls.Client(conn, settings)
	if err := over.HandshakeContext(ctx); err != nil {
		d.add("certificates", sevError, fmt.Sprintf("sink %s: %v", name, err), tlsAdvice(err))
		return
	}
	d.found(kafka.Certificate("sink "+name+" ("+p.Address+")", over.ConnectionState().PeerCertificates[0].NotAfter))
}

// tlsAdvice says what to do about a handshake that failed.
func tlsAdvice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "set tls.ca_file to the certificate of the authority that signed the receiver's"
	case errors.As(err, &name):
		return "use a name of the certificate in the endpoint, or set tls.server_name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the receiver's certificate, or correct the clock"
	case errors.As(err, &plain):
		return "the receiver does not speak TLS at this port; correct the endpoint"
	}
	return "compare the receiver's TLS settings with those of the sink: version 1.2 or newer, client certificate"
}

// sources tries what the sources of stage collect need.
func (d *examining) sources(ctx context.Context, cfg *config.Config) {
	for i := range cfg.Sources {
		s := &cfg.Sources[i]
		for _, try := range feed.Examine(ctx, s.Feed(nil, time.Now())) {
			switch detail := fmt.Sprintf("source %s: %s", s.Name, try.Detail); {
			case try.Err != nil:
				d.add("sources", sevError, fmt.Sprintf("source %s: %v", s.Name, try.Err), try.Advice(string(s.Type)))
			case try.Open:
				d.add("sources", sevSkipped, detail, "start keytrail run, which reports what it may not do")
			default:
				d.add("sources", sevOK, detail, "")
			}
		}
	}
}
