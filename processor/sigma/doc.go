// Package sigma matches events with the user's own rules, written in Sigma, and counts
// matches by Sigma's correlations. docs/sigma.md describes the supported part; anything else
// is a Problem when rules are loaded, with its file and line, and nothing is ignored.
//
// A Loader reads YAML into Rules, which never change. A Matcher, one for each goroutine,
// matches the original JSON of one event after another and says which rules match and
// what correlations count of it: an Observation is one match in one group. The caller
// counts: a Tally is the count of one group in one piece of time, and tallies add up in
// any order and in several places. Correlation.Reports judges a window of
// them. Counter does all this in memory. The package is pure: event times come in as
// arguments, and rules as bytes or a file system.
//
// The cost of an event depends not on the number of rules but on the number that its
// eventName and eventSource leave (index.go). Only the fields that these rules ask for
// are read (extract.go). Measured by
//
//	go test -run '^$' -bench . ./processor/sigma
//
// over the corpus of made-up records (1.3 kB in the mean) on one core of a shared cloud
// machine, with rules of which one in ten looks at every event: 0.9 µs with 1 rule, 2 to
// 3 µs with 100, 13 to 20 µs with 1,000, of which 300 are left for most events; 0.3 µs
// where no rule is left, and 35 ns where the caller knows the two fields (Wants). No
// memory is allocated for an event.
//
// Sources: Sigma specification 2.1.0 (rules, modifiers appendix, tags appendix,
// correlation rules), CloudTrail user guide.
package sigma
