package generate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config selects a trail. The zero value of a field means its default; the zero Config is
// three days of 20 KMS keys.
type Config struct {
	// Seed selects the trail. Equal Configs give equal bytes on one kind of processor and
	// one version of Go; others may round floating-point numbers or pack files
	// differently.
	Seed uint64
	// Start is the time of the first event (default 2026-01-05, a Monday, UTC), truncated
	// to seconds.
	Start time.Time
	// Duration is the length of the trail: 1 h to 400 days, default 72 h.
	Duration time.Duration
	// Keys is the number of KMS keys, 10 to 100,000, default 20.
	Keys int
	// Principals is the number of roles, users, federated users and services in the
	// background, 10 to 1,000,000, default 40. Roots, KMS itself and attackers are
	// additional.
	Principals int
	// Accounts are 1 to 100 distinct account ids of 12 digits, at most Keys/5. Default
	// two. ForeignAccount is not allowed.
	Accounts []string
	// Regions are 1 to 40 distinct regions of one partition; the first is the busiest and
	// the home of the trails. Default us-east-1 and eu-west-1.
	Regions []string
	// Events is the approximate number of background records in Duration, with copies for
	// a second account but without duplicates: at most 1,000,000 per hour. 0 means the
	// natural rate of 20 an hour per principal.
	Events int
	// Scenarios are the names of the planted scenarios, in order of time; nil means all
	// that fit into Duration, an empty slice none.
	Scenarios []string
	// Repeat is how often each scenario is planted, 1 to 50, default 1. More than one
	// needs a Duration of a week.
	Repeat int
	// DuplicateShare is the share of records that are delivered again in another file: 0
	// to 0.5. 0 means the default 0.02; negative means none.
	DuplicateShare float64
	// FileEvery is the time between two files of an account and region: whole
	// minutes, 1 min to 1 h, default 5 min.
	FileEvery time.Duration
}

// ForeignAccount is the account from which or to which attacks lead. It has no trail.
const ForeignAccount = "999988887777"

var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
)

// withDefaults returns c with defaults for its zero fields.
func (c Config) withDefaults() Config {
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	c.Start = c.Start.UTC().Truncate(time.Second)
	if c.Duration == 0 {
		c.Duration = 72 * time.Hour
	}
	if c.Keys == 0 {
		c.Keys = 20
	}
	if c.Principals == 0 {
		c.Principals = 40
	}
	if len(c.Accounts) == 0 {
		c.Accounts = []string{"111122223333", "444455556666"}
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{"us-east-1", "eu-west-1"}
	}
	if c.DuplicateShare == 0 {
		c.DuplicateShare = 0.02
	}
	c.DuplicateShare = max(c.DuplicateShare, 0)
	if c.FileEvery == 0 {
		c.FileEvery = 5 * time.Minute
	}
	if c.Repeat == 0 {
		c.Repeat = 1
	}
	return c
}

// validate checks a Config with its defaults. The error names the field, its value and
// the allowed values.
func (c Config) validate() error {
	bad := func(field string, value any, allowed string) error {
		return fmt.Errorf("cannot generate a trail: %s is %v, allowed are %s", field, value, allowed)
	}
	within := func(field string, value, low, high int) error {
		if value < low || value > high {
			return bad(field, value, fmt.Sprintf("%d to %d", low, high))
		}
		return nil
	}
	perHour := int(c.Duration.Hours() * 1_000_000)
	switch {
	case c.Duration < time.Hour || c.Duration > 400*24*time.Hour:
		return bad("Duration", c.Duration, "1h to 9600h (400 days)")
	case c.FileEvery < time.Minute || c.FileEvery > time.Hour || c.FileEvery%time.Minute != 0:
		return bad("FileEvery", c.FileEvery, "whole minutes from 1m to 1h")
	case !(c.DuplicateShare <= 0.5): // also if it is NaN
		return bad("DuplicateShare", c.DuplicateShare, "0 to 0.5, or negative for none")
	case c.Repeat < 1 || c.Repeat > 50 || c.Repeat > 1 && !c.long():
		return bad("Repeat", c.Repeat, "1 to 50, and 1 for a Duration of less than 168h")
	case c.Start.Year() < 2000 || c.Start.Year() > 2200:
		return bad("Start", c.Start, "years 2000 to 2200")
	}
	for _, err := range []error{
		within("Keys", c.Keys, 10, 100_000),
		within("Principals", c.Principals, 10, 1_000_000),
		within("Events", c.Events, 0, perHour),
		c.validateAccounts(bad),
		c.validateRegions(bad),
	} {
		if err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, name := range c.Scenarios {
		if !slices.Contains(Scenarios(), name) || seen[name] {
			return bad("Scenarios", fmt.Sprintf("%q", name), "each at most once: "+strings.Join(Scenarios(), ", "))
		}
		seen[name] = true
	}
	return nil
}

func (c Config) validateAccounts(bad func(string, any, string) error) error {
	seen := map[string]bool{}
	for _, account := range c.Accounts {
		if !accountID.MatchString(account) || account == ForeignAccount || seen[account] {
			return bad("Accounts", fmt.Sprintf("%q", account), "different ids of 12 digits other than "+ForeignAccount)
		}
		seen[account] = true
	}
	if limit := min(100, c.Keys/5); len(c.Accounts) > limit {
		return bad("Accounts", fmt.Sprintf("a list of %d", len(c.Accounts)),
			fmt.Sprintf("1 to %d with %d keys", limit, c.Keys))
	}
	return nil
}

func (c Config) validateRegions(bad func(string, any, string) error) error {
	seen := map[string]bool{}
	for _, region := range c.Regions {
		if !regionName.MatchString(region) || seen[region] || partition(region) != partition(c.Regions[0]) {
			return bad("Regions", fmt.Sprintf("%q", region), "different names as us-east-1, all of one partition")
		}
		seen[region] = true
	}
	if len(c.Regions) > 40 {
		return bad("Regions", fmt.Sprintf("a list of %d", len(c.Regions)), "1 to 40")
	}
	return nil
}

// long reports whether the trail is long enough for changes of its background and for
// scenarios of days.
func (c Config) long() bool { return c.Duration >= 7*24*time.Hour }

// partition returns the AWS partition of a region.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
