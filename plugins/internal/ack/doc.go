// Package ack is the end-to-end acknowledgement between in_kms and out_kms, which
// Fluent Bit itself does not have. in_kms gives each record a number that is unique
// within its run; out_kms tells it, over a Unix socket, which numbers Kafka has.
//
// The protocol works as the selective acknowledgements of TCP do: out_kms sends ranges
// of numbers, in_kms confirms each message, and out_kms sends unconfirmed ranges again.
// Messages are idempotent and may be lost, repeated and reordered; nothing is written
// to disk. A lost acknowledgement only has its records handed over again. in_kms ignores
// the numbers of another run, so a restart needs nothing else.
//
// Limits. Both plugins run on one host and under one user: the socket has the mode
// 0600, and both ends ask the kernel for the other's user. One in_kms listens on a
// path, up to maxPeers outputs connect to it, and one output connects to up to MaxPaths
// of them. A Sender keeps MaxRunRanges ranges of maxRuns runs, 16 bytes each: 4 MiB. A
// message has at most MaxFrameRanges acknowledged ranges and MaxHeldRanges held ones. The
// two plugins are two Go runtimes in one process; they share the bytes on the socket and
// nothing else.
//
// It needs Linux, as both plugins do.
package ack
