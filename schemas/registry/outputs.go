package registry

import (
	"fmt"
	"io/fs"
	"maps"
)

// Command regenerates every file that depends on the registry.
const Command = "go run ./schemas/registry/gen"

// Outputs renders every generated file and returns the files' content by path below the
// directory schemas. It reads README.md from there and keeps its hand-written part. One
// path leads out of it, to docs.
func (r *Registry) Outputs(schemas fs.FS) (map[string][]byte, error) {
	constants, err := r.GoConstants()
	if err != nil {
		return nil, err
	}
	readme, err := fs.ReadFile(schemas, "README.md")
	if err != nil {
		return nil, fmt.Errorf("cannot read the README that gets the tables: %w", err)
	}
	for _, p := range r.parts() {
		if readme, err = p.splice(readme); err != nil {
			return nil, err
		}
	}
	bodies, err := r.BodyTables()
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{"semconv/semconv.go": constants, "README.md": readme,
		"../docs/correspondence.md": r.Correspondence()}
	maps.Copy(out, bodies)
	for _, e := range r.Events {
		out["jsonschema/"+e.Name+".json"] = r.JSONSchema(e)
	}
	return out, nil
}

// parts are the generated parts of the README.
func (r *Registry) parts() []part {
	return []part{{"fields", r.FieldTables()}, {"attributes", r.Tables()}}
}

// Orphans returns the JSON Schemas in the directory schemas that belong to no
// event of the registry, by their path below it.
func (r *Registry) Orphans(schemas fs.FS) ([]string, error) {
	paths, err := fs.Glob(schemas, "jsonschema/*.json")
	if err != nil {
		return nil, fmt.Errorf("cannot list the JSON Schemas: %w", err)
	}
	known := map[string]bool{}
	for _, e := range r.Events {
		known["jsonschema/"+e.Name+".json"] = true
	}
	var orphans []string
	for _, p := range paths {
		if !known[p] {
			orphans = append(orphans, p)
		}
	}
	return orphans, nil
}
