package s3

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"keytrail/schemas/aws/notification"
)

// logFolder is an account's folder of logs. Source: CloudTrail User Guide, "Finding your
// CloudTrail log files":
// [PREFIX/]AWSLogs/[ORGANIZATION/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/FILE.
const logFolder = "CloudTrail"

// networkFolder is the adjacent folder of calls through VPC endpoints; only it has those
// that an endpoint's policy refused. digestFolder is the folder of digests.
const (
	networkFolder = "CloudTrail-NetworkActivity"
	digestFolder  = "CloudTrail-Digest"
)

// folderKinds are the kinds of files in followed folders.
var folderKinds = map[string]notification.FileKind{
	logFolder: notification.FileLog, networkFolder: notification.FileNetworkActivity,
	digestFolder: notification.FileDigest,
}

var (
	accountName = regexp.MustCompile(`^[0-9]+$`)
	// laneName matches account, folder and Region in the prefix of a Region's folder.
	laneName = regexp.MustCompile(
		`(?:^|/)([0-9]+)/(CloudTrail|CloudTrail-NetworkActivity|CloudTrail-Digest)/([a-z]{2,}(?:-[a-z]+)+-[0-9]+)/$`)
	orgName = regexp.MustCompile(`^o-[a-z0-9]+$`)
)

// discovery finds the folders of Regions.
type discovery struct {
	client  *Client
	bucket  string
	folders []string // the followed ones: logFolder and so on
	wanted  func(account, region string) bool
}

// below returns the prefixes of the folders of Regions ("…/CloudTrail/eu-west-1/") below
// prefix, which may be the trail's prefix or any folder down to a Region's. It lists a
// few folders per account, whatever the number of files. With an error the result is what
// was found.
func (d *discovery) below(ctx context.Context, prefix string) ([]string, error) {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	part := func(i int) string { // the i-th from the end
		if i >= len(parts) {
			return ""
		}
		return parts[len(parts)-1-i]
	}
	switch last := part(0); {
	case laneName.MatchString(prefix): // a Region's folder itself
		if !slices.Contains(d.folders, part(1)) || !d.wanted(part(2), last) {
			return nil, nil
		}
		return []string{prefix}, nil
	case slices.Contains(d.folders, last) && accountName.MatchString(part(1)):
		return d.descend(ctx, prefix, func(region string) bool {
			return laneName.MatchString(prefix+region+"/") && d.wanted(part(1), region)
		})
	case accountName.MatchString(last) && (part(1) == "AWSLogs" || orgName.MatchString(part(1))):
		if !d.wanted(last, "") {
			return nil, nil
		}
		return d.all(ctx, prefix, d.folders)
	}
	inside := slices.Contains(parts, "AWSLogs")
	return d.descend(ctx, prefix, func(name string) bool {
		return name == "AWSLogs" || inside && (accountName.MatchString(name) || orgName.MatchString(name))
	})
}

// descend searches below the folders of prefix that next selects.
func (d *discovery) descend(ctx context.Context, prefix string, next func(name string) bool) ([]string, error) {
	names, err := d.client.Folders(ctx, d.bucket, prefix, next)
	if err != nil {
		return nil, err
	}
	return d.all(ctx, prefix, names)
}

// all searches below the named folders of prefix.
func (d *discovery) all(ctx context.Context, prefix string, names []string) (found []string, failed error) {
	for _, name := range names {
		lanes, err := d.below(ctx, prefix+name+"/")
		found = append(found, lanes...)
		if err != nil && failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return found, failed
}
