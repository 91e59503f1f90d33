package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// options are the command line's.
type options struct {
	events     int // of the first table; 0 leaves it out
	keys       int
	principals int
	seed       uint64
	entities   []int         // of the second table; none leaves it out
	latency    time.Duration // of the load of the third table; 0 leaves it out
	rate       int
	peers      []string
	codec      string // of the events
	keytrail   string // a binary that is built already; "" builds one
	keep       string
}

// The optional peers.
const (
	peerStreams = "kstreams"
	peerFlink   = "flink"
	peerGoka    = "goka"
)

var allPeers = []string{peerStreams, peerFlink, peerGoka}

// codecs are the compression codecs of the events; out_kms uses Snappy by default.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// parse reads the command line. It writes faults to out, with the usage.
func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench-stream", flag.ContinueOnError)
	f.SetOutput(out)
	f.IntVar(&o.events, "events", 400_000, "log records of the throughput table; 0 leaves it out")
	f.IntVar(&o.keys, "keys", 500, "KMS keys in them")
	f.IntVar(&o.principals, "principals", 1000, "principals in them")
	f.Uint64Var(&o.seed, "seed", 1, "chooses them")
	entities := f.String("entities", "10000,100000,1000000", "`counts` of entities in the state of the memory table; "+
		"\"\" leaves it out")
	f.DurationVar(&o.latency, "latency", 30*time.Second, "how long to send events for the latency table; 0 leaves it out")
	f.IntVar(&o.rate, "rate", 1000, "events per second for it")
	peers := f.String("peers", strings.Join(allPeers, ","), "the `peers` to measure beside Keytrail")
	f.StringVar(&o.codec, "codec", "snappy", "`codec` of the events: none, snappy, lz4 or zstd")
	f.StringVar(&o.keytrail, "keytrail", "", "measure this `binary` instead of building one")
	f.StringVar(&o.keep, "keep", "", "`directory` for the data and the logs, which stay there")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.entities, err = numbers(*entities); err == nil {
		o.peers = list(*peers)
		err = o.validate(f.Args())
	}
	if err != nil {
		fmt.Fprintln(out, "bench-stream:", err)
		f.Usage()
	}
	return o, err
}

func (o *options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("takes no arguments, got %q", rest)
	case o.events != 0 && (o.events < 10_000 || o.events > 10_000_000):
		return fmt.Errorf("-events is %d, want 0 or 10000 to 10000000", o.events)
	case o.keys < 10 || o.principals < 10:
		return fmt.Errorf("-keys is %d and -principals %d, want 10 or more of each", o.keys, o.principals)
	case o.latency < 0 || o.latency != 0 && o.latency < time.Second:
		return fmt.Errorf("-latency is %v, want 0 or at least 1s", o.latency)
	case o.rate < 20 || o.rate > 100_000:
		return fmt.Errorf("-rate is %d, want 20 to 100000", o.rate)
	}
	if _, ok := codecs[o.codec]; !ok {
		return fmt.Errorf("-codec is %q, want none, snappy, lz4 or zstd", o.codec)
	}
	for _, n := range o.entities {
		if n < 1000 || n > 10_000_000 || n%10 != 0 {
			return fmt.Errorf("-entities has %d, want multiples of 10 from 1000 to 10000000", n)
		}
	}
	for _, p := range o.peers {
		if !slices.Contains(allPeers, p) {
			return fmt.Errorf("-peers has %q, want some of %s", p, strings.Join(allPeers, ","))
		}
	}
	return nil
}

// with reports whether a peer is selected.
func (o *options) with(peer string) bool { return slices.Contains(o.peers, peer) }

// list splits at commas; "" has no items.
func list(text string) (items []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func numbers(text string) (all []int, err error) {
	for _, item := range list(text) {
		n, err := strconv.Atoi(item)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", item)
		}
		all = append(all, n)
	}
	return all, nil
}
