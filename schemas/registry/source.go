package registry

import (
	"bytes"
	"fmt"
	"io/fs"

	"keytrail/schemas/otellog"
)

// Source returns the registry's groups as they are written: the YAML files one
// after the other, each its own document.
func Source() ([]byte, error) {
	names, err := fs.Glob(files, "model/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot list the registry's files: %w", err)
	}
	var b bytes.Buffer
	for _, name := range names {
		if name == manifestPath {
			continue
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read registry file %q: %w", name, err)
		}
		fmt.Fprintf(&b, "--- # %s\n%s", name, text)
	}
	return b.Bytes(), nil
}

// manifestPath is the manifest by which weaver reads the folder.
const manifestPath = "model/manifest.yaml"

// Manifest returns the manifest of the registry, for weaver: its schema URL, and the
// semantic conventions on which it depends.
func Manifest() ([]byte, error) {
	text, err := files.ReadFile(manifestPath)
	if err != nil {
		return nil, fmt.Errorf("cannot read the manifest of the registry: %w", err)
	}
	return text, nil
}

// SchemaFile returns the OpenTelemetry schema file (format 1.1.0) of the version
// that log records name as their scope's, with every change of a name since the first
// version.
func SchemaFile() ([]byte, error) {
	text, err := files.ReadFile("versions/" + otellog.SchemaVersion + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot read the OpenTelemetry schema file of version %s: %w", otellog.SchemaVersion, err)
	}
	return text, nil
}
