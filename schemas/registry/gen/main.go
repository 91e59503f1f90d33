// Gen writes every file that depends on the attribute registry: the constants
// of package semconv, the JSON Schemas of package jsonschema and the tables in
// schemas/README.md. It runs from anywhere inside the module:
//
//	go run ./schemas/registry/gen
//	go generate ./schemas/...
//
// Nothing is written unless the whole registry is valid. A JSON Schema whose
// event is gone is removed.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"keytrail/schemas/registry"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := schemasDir()
	if err != nil {
		return err
	}
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return err
	}
	tree := os.DirFS(dir)
	files, err := reg.Outputs(tree)
	if err != nil {
		return err
	}
	orphans, err := reg.Orphans(tree)
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(filepath.Join(dir, path), content, 0o644); err != nil {
			return fmt.Errorf("cannot write generated file: %w", err)
		}
	}
	for _, path := range orphans {
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			return fmt.Errorf("cannot remove the schema of an event that is gone: %w", err)
		}
	}
	return nil
}

// schemasDir finds the directory schemas of the module around the working
// directory: go generate starts this program beside the directive, go run
// where the user stands.
func schemasDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot tell the working directory: %w", err)
	}
	for {
		schemas := filepath.Join(dir, "schemas")
		if _, err := os.Stat(filepath.Join(schemas, "registry", "registry.go")); err == nil {
			return schemas, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find schemas/registry: run this inside the module keytrail")
		}
		dir = parent
	}
}
