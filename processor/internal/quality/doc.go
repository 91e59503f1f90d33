// Command quality measures the detectors: it makes labelled trails, runs them through the
// code that counts and judges, and compares the anomalies with the labels, together with
// yardsticks on the same windows. It does the same with families of trails that differ
// from those of processor/generate and from each other. Then it scores the rate detector
// on Numenta's NAB.
//
//	go run ./processor/internal/quality -o docs/quality.md   what "make quality" does
//	go run ./processor/internal/quality -seeds 1,2 -explain  where the detectors fail, on training seeds
//	go run ./processor/internal/quality -seeds 1 -days 14 -events 1000000 -explain  the same in half a minute
//	go run ./processor/internal/quality -seeds 1,2 -fit      the yardsticks' best thresholds
//	go run ./processor/internal/quality -families all -seeds 1,2  the families alone, on training seeds
//	go run ./processor/internal/quality -contact NAME        the first contact with a family
//
// Thresholds are chosen on seeds 1 to 99; the figures come from seeds from 100 on.
//
// # A new family
//
// A family is one kind of organization. A test of detectors on families that their author
// made finds what the author thought of. So some families are to be written by somebody
// who has read neither the detectors (processor/detector, baseline, entity, docs/detectors.md,
// docs/quality.md) nor the other families' results. All that you need is this text and the
// package processor/internal/quality/family (family.go, org.go, act.go; shop.go is an
// example).
//
// First describe the organization on a page of prose, as its security officer would:
//
//   - Arrivals: what makes calls happen? People, timers, queues, visitors, failures? How do
//     the numbers of an hour and of a day vary, and what makes a busy day?
//   - Graph: who uses which keys? Few keys for all, or one key each? Across accounts?
//   - Identities: how long does a role, user or session live, and who names it?
//   - Calendar: working hours, weekends, holidays, month ends, maintenance, on-call nights.
//   - Harmless surprises: an audit, a migration, a new team, a restore, a failed deployment.
//
// Then write it as a Go file in that package:
//
//	var harbour = Family{
//		Name:   "harbour",
//		About:  "Ships come with the tide. …", // the page in three to five sentences
//		Unseen: true,                          // you have not read the detectors
//		Build:  buildHarbour,
//	}
//
//	func buildHarbour(o *Org) {
//		crane := o.Role(o.Account(60), "crane")
//		key := o.Key(o.Account(60), "eu-north-1", "aws:s3:arn", "arn:aws:s3:::manifests/")
//		o.Hours(func(hour time.Time) {
//			for range o.Poisson(tide(hour)) {
//				o.Do(o.Within(hour, time.Hour), crane, "Decrypt", key, o.Rand.IntN(500))
//			}
//		})
//	}
//
// and add it to All in all.go. Make about Org.Keys KMS keys in use, each with a few calls a
// day to a few hundred an hour: about 1,000,000 calls in 35 days with 450 keys. Make
// all calls from Org.Start to Org.End; attacks are planted beside them. Take all chance
// from Org.Rand, and do not range over maps. Use account numbers that no other family uses.
//
// Your own attacks are welcome too: an Attack in a file of the package, Unseen, added to
// Attacks in attacks.go. It gets the organization's everyday life in Org.Habits, and makes
// calls with Act.Do. Describe a realistic attacker, not one that is easily seen.
//
// Check the family's shape, which tells nothing about detectors:
//
//	go test -run 'Families' -v ./processor/internal/quality/family
//
// Commit it. Then measure it, once:
//
//	go run ./processor/internal/quality -contact harbour
//
// adds the figures of that first contact to firstcontact.json, and shows nothing else. It
// refuses a family that is in there. Commit that file too. Only then may anybody look at
// what was missed (-families harbour -seeds 1,2 -explain) and change detectors. docs/quality.md says
// the figures of first contact beside those of today.
//
// The command is beside chaos, not in bench/, because it does not compare other programs,
// needs none of bench's dependencies, and go test ./... must run it.
package main
