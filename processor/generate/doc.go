// Package generate makes synthetic CloudTrail trails of KMS use with labelled attacks:
// ground truth that no public data set has. Everything follows from Config.Seed; the
// package reads no clock.
//
// # The background
//
// Accounts hold KMS keys with a purpose (S3 buckets, SSM parameters, secrets, EBS
// volumes, Lambda functions, trail files, custom data, signing, MACs). Principals
// (roles 60 % of the events, AWS services 20 %, IAM users, federated users; root
// and KMS itself rarely) use some of the keys. Each pair of a principal and a key
// that occurs is an edge: a sparse bipartite graph with Zipf-like rates. Most
// edges are Poisson processes whose rate follows the day and the week and is
// multiplied by log-normal noise for each day, hour and five minutes; some are
// batch jobs, some are machines with nearly equal steps (under-dispersed). A few
// shift their level (Bucket Keys turned on) or ramp up. Nothing here is
// gamma-Poisson, so that a detector with a negative binomial is not tested on its
// own model. About 1 % of the calls fail.
//
// The background of trails of a week and longer also changes (changes.go): levels switch
// every few hours or days, deployed programs read everything again, services start during
// the trail, and a person looks at a key once in ten days.
//
// Cross-account calls are recorded in both accounts, with two event ids and one
// sharedEventID. Records arrive 2 to 10 minutes late, out of order inside their
// file, and Config.DuplicateShare of them twice.
//
// # The scenarios
//
// Scenarios (see Scenarios) begin after the first 60 % of the time, one in each part of
// the rest, so that baselines exist and attacks do not overlap. In trails of a week and
// longer they begin after 40 %, Config.Repeat times each at random, and avoid only those
// that blind a trail. A Label says what a detector should find, where, and which calls
// belong to it, or that the change is harmless: late, triple or repeated files,
// deployments, Bucket Keys turned on or off, new services.
//
// # Live trails
//
// A Live delivers a trail as time passes: a history without attacks at once, and then the
// files of each minute with an attack every few minutes. Hours and attacks depend only on
// the seed and on their number, so it can resume at any of them.
//
// # Limits
//
// The shapes come from real events of event versions 1.08 to 1.11, but the values are
// invented, and only KMS events, changes of trails and a few other CloudTrail calls
// occur. The JSON is made on demand. Memory: about 1 KiB per principal, the calls of one
// hour (about 120 bytes each) and, for WriteFiles, the records waiting for their file:
// those of the last 10 minutes plus three times Config.FileEvery, and an account's six
// hours for a second delivery.
//
// New makes a Generator, which never changes afterwards; several goroutines may use it.
// Every call of Events starts over and gives the same events.
package generate
