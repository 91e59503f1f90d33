package s3

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// logFolder is the folder of an account that holds its logs.
// Source: CloudTrail User Guide, "Finding your CloudTrail log files":
// [PREFIX/]AWSLogs/[ORGANIZATION/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/FILE.
const logFolder = "CloudTrail"

// digestFolder is the folder beside it that holds its digests.
const digestFolder = "CloudTrail-Digest"

var (
	accountName = regexp.MustCompile(`^[0-9]+$`)
	// laneName finds account and region in the prefix of a region's folder.
	laneName = regexp.MustCompile(`([0-9]+)/(CloudTrail|CloudTrail-Digest)/([^/]+)/$`)
	orgName  = regexp.MustCompile(`^o-[a-z0-9]+$`)
)

// discover returns the prefixes of the folders of regions ("…/CloudTrail/eu-west-1/")
// below prefix, which may be the trail's own, or reach anywhere down to such a
// folder; of logs, and of digests where digests is true. It lists one folder for each account, whatever the number of files.
func (c *Client) discover(ctx context.Context, bucket, prefix string, digests bool, wanted func(account, region string) bool) ([]string, error) {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	last := parts[len(parts)-1]
	below := func(i int) string { // the i-th part from the end
		if i >= len(parts) {
			return ""
		}
		return parts[len(parts)-1-i]
	}
	holds := func(name string) bool { return name == logFolder || digests && name == digestFolder }
	switch {
	case holds(below(1)) && accountName.MatchString(below(2)): // a region's folder itself
		if !wanted(below(2), last) {
			return nil, nil
		}
		return []string{prefix}, nil
	case holds(last) && accountName.MatchString(below(1)):
		return c.descend(ctx, bucket, prefix, digests, wanted, func(region string) string {
			if !wanted(below(1), region) {
				return ""
			}
			return prefix + region + "/"
		})
	case accountName.MatchString(last) && (below(1) == "AWSLogs" || orgName.MatchString(below(1))):
		if !wanted(last, "") {
			return nil, nil
		}
		lanes, err := c.discover(ctx, bucket, prefix+logFolder+"/", digests, wanted)
		if err != nil || !digests {
			return lanes, err
		}
		more, err := c.discover(ctx, bucket, prefix+digestFolder+"/", digests, wanted)
		return append(lanes, more...), err
	}
	inside := slices.Contains(parts, "AWSLogs")
	return c.descend(ctx, bucket, prefix, digests, wanted, func(name string) string {
		if name == "AWSLogs" || inside && (accountName.MatchString(name) || orgName.MatchString(name)) {
			return prefix + name + "/"
		}
		return ""
	})
}

// descend discovers below the folders of prefix for which next returns a prefix.
func (c *Client) descend(ctx context.Context, bucket, prefix string, digests bool, wanted func(account, region string) bool, next func(name string) string) ([]string, error) {
	names, err := c.Folders(ctx, bucket, prefix)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		p := next(name)
		if p == "" {
			continue
		}
		lanes, err := c.discover(ctx, bucket, p, digests, wanted)
		if err != nil {
			return nil, err
		}
		found = append(found, lanes...)
	}
	return found, nil
}
