// Package sigma matches events with the user's Sigma rules, and counts matches by Sigma's
// correlations. docs/sigma.md describes the supported part. Anything else is a Problem
// with its file and line when rules are loaded; nothing is ignored silently.
//
// A Loader reads YAML into immutable Rules. A Matcher, one per goroutine, matches the
// original JSON of one event after another. It returns the matching rules, and for
// correlations Observations: one match in one group each. The caller counts: a Tally is
// the count of one group in one pane of time, and tallies add up in any order and in
// several places. Correlation.Reports judges a window of them. Counter does all this in
// memory. The package is pure: event times are arguments, and rules are bytes or a file
// system.
//
// The cost per event depends not on the number of rules but on the number of candidates
// for its eventName and eventSource (index.go). Only the fields of these rules are read
// (extract.go). Measured by
//
//	go test -run '^$' -bench . ./processor/sigma
//
// over the corpus of generated records (1.3 kB on average) on one core of a shared cloud
// machine, with one rule in ten looking at every event: 0.9 µs with 1 rule, 2 to 3 µs
// with 100, and 13 to 20 µs with 1,000, of which 300 are candidates for most events; 0.3
// µs without a candidate, and 35 ns if the caller knows the two fields (Wants). Matching
// allocates no memory.
//
// Sources: Sigma specification 2.1.0 (rules, modifiers appendix, tags appendix,
// correlation rules), CloudTrail user guide.
package sigma
