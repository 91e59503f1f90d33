package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"keytrail/processor/api"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// release is the version of this build.
const release = "0.1.0"

// commit is the commit of builds outside a repository, which set it with
// -ldflags "-X keytrail/processor/cli.commit=HASH". Other builds know it from Go.
var commit string

// buildInfo returns what "keytrail version --json" prints.
func buildInfo() api.Build {
	return api.Build{Version: release, Commit: cmp.Or(commit, committed(), "unknown"), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Format: wire.FormatVersion, Schema: otellog.SchemaVersion}
}

// version is "keytrail version".
func (a *app) version() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "version [FLAGS]", GroupID: groupAbout,
		Short: "Print the version",
		Long: "Prints the version of this build and of the log schema. As JSON it adds the commit, the\n" +
			"version of Go, the platform, and the version of the format that Keytrail stores.",
		Example: "keytrail version\nkeytrail version --json",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.printVersion(asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) printVersion(asJSON bool) error {
	if !asJSON {
		fmt.Fprintf(a.stdout, "keytrail %s (schema %s)\n", release, otellog.SchemaVersion)
		return nil
	}
	return json.NewEncoder(a.stdout).Encode(buildInfo())
}

// committed returns the commit that Go has noted in the build, or "".
func committed() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	hash, changes := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			hash = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	if hash == "" {
		return ""
	}
	return hash + changes
}
