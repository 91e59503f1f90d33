package generate

import (
	"strconv"
	"strings"
)

// moves is how a principal's network and client change over the weeks of a long trail.
// Without it, a detector of new networks would find only thieves.
type moves struct {
	home     string // a person's second network
	upgraded int64  // Unix seconds from which on the client is a newer one; 0: never
	newer    string
}

// newMoves gives a quarter of the programs and people a newer client at some time.
func newMoves(r random, p *principal, c Config) *moves {
	m := &moves{home: publicAddress(r)}
	if r.chance(0.25) {
		m.upgraded = c.Start.Unix() + int64(r.Float64()*c.Duration.Seconds())
		m.newer = newerClient.Replace(p.agent)
	}
	return m
}

// newerClient returns the next version of a client in names.go.
var newerClient = strings.NewReplacer(
	"aws-sdk-go-v2/1.36.3", "aws-sdk-go-v2/1.38.0", "api/kms#1.38.1", "api/kms#1.41.0",
	"Boto3/1.38.23 md/Botocore#1.38.23", "Boto3/1.40.4 md/Botocore#1.40.4", "Botocore/1.38.23", "Botocore/1.40.4",
	"aws-sdk-java/2.31.50", "aws-sdk-java/2.32.9", "aws-sdk-nodejs/2.1692.0 linux/v20.19.2", "aws-sdk-nodejs/2.1693.0 linux/v22.17.0",
	"aws-cli/2.27.22", "aws-cli/2.28.1", "Chrome/137.0.0.0", "Chrome/138.0.0.0", "Firefox/139.0", "Firefox/140.0",
)

// client returns the principal's userAgent at a Unix second.
func (p *principal) client(at int64) string {
	if m := p.moves; m != nil && m.upgraded != 0 && at >= m.upgraded {
		return m.newer
	}
	return p.agent
}

// appendAddress appends the principal's address at a Unix second. In long trails a
// program's address changes with each session: functions anywhere in a service's
// networks, instances and pods in their own. People work from two places, and one week in
// a hundred from a third.
func (p *principal) appendAddress(dst []byte, at int64) []byte {
	if p.moves == nil {
		return append(dst, p.ip...)
	}
	h := mix(p.seed ^ uint64(p.session(at)))
	if p.flavor == byPerson {
		const week = 7 * 86400
		switch away := mix(p.seed + uint64(at/week)); {
		case away%100 == 0: // carrier-grade NAT (RFC 6598)
			dst = strconv.AppendUint(append(dst, "100."...), 64+away>>8%64, 10)
			dst = strconv.AppendUint(append(dst, '.'), away>>16&255, 10)
			return strconv.AppendUint(append(dst, '.'), away>>24&255, 10)
		case h%3 == 0:
			return append(dst, p.moves.home...)
		}
		return append(dst, p.ip...)
	}
	network := p.ip[:strings.LastIndexByte(p.ip, '.')]
	if p.flavor == inFunction {
		network = documentNetworks[h>>8%3]
	}
	return strconv.AppendUint(append(append(dst, network...), '.'), 1+h>>16%254, 10)
}
