package deploytest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"keytrail/schemas/wire"
)

// fluentBit is the part of Fluent Bit's YAML that deploy/fluent-bit.yaml uses.
type fluentBit struct {
	Service  map[string]string `yaml:"service"`
	Plugins  []string          `yaml:"plugins"`
	Pipeline struct {
		Inputs  []map[string]string `yaml:"inputs"`
		Outputs []map[string]string `yaml:"outputs"`
	} `yaml:"pipeline"`
}

// The properties that Fluent Bit's core reads, as far as this deployment may use
// them (Fluent Bit 5.1; src/flb_config.c, src/flb_input.c, src/flb_output.c).
var (
	serviceProperties = []string{"flush", "grace", "log_level", "http_server", "http_listen", "http_port",
		"storage.path", "storage.sync", "storage.backlog.mem_limit", "storage.max_chunks_up"}
	inputProperties = []string{"name", "alias", "tag", "log_level", "mem_buf_limit",
		"storage.type", "storage.pause_on_chunks_overlimit"}
	outputProperties = []string{"name", "alias", "match", "log_level", "workers", "retry_limit"}
)

// checkFluentBit holds that deploy/fluent-bit.yaml names plugins that are built,
// properties that they read, and paths and addresses that are there.
func (d *deployment) checkFluentBit() {
	d.configCopied("fluent-bit", "fluent-bit.yaml")
	if err := strict(d.read("deploy/fluent-bit.yaml"), &d.bit); err != nil {
		d.problem("fluent-bit.yaml: %v", err)
		return
	}
	d.known("service", d.bit.Service, serviceProperties)
	if !d.published("fluent-bit", d.bit.Service["http_port"]) {
		d.problem("fluent-bit.yaml: http_port %s is not published", d.bit.Service["http_port"])
	}
	d.wantValue("service", d.bit.Service, "hot_reload", "") // crashes with workers
	d.checkPlugins()
	if len(d.bit.Pipeline.Inputs) != 1 || len(d.bit.Pipeline.Outputs) != 1 {
		d.problem("fluent-bit.yaml: %d inputs and %d outputs, want 1 and 1", len(d.bit.Pipeline.Inputs), len(d.bit.Pipeline.Outputs))
		return
	}
	d.checkInput(d.bit.Pipeline.Inputs[0])
	d.checkOutput(d.bit.Pipeline.Outputs[0])
	if tag, match := d.bit.Pipeline.Inputs[0]["tag"], d.bit.Pipeline.Outputs[0]["match"]; tag == "" || tag != match {
		d.problem("fluent-bit.yaml: the input's tag is %q and the output matches %q", tag, match)
	}
}

// checkPlugins holds that the plugins are those that the image has.
func (d *deployment) checkPlugins() {
	has := d.images["fluent-bit"].files
	var built []string
	for _, p := range d.bit.Plugins {
		built = append(built, strings.TrimPrefix(has[p], "/src/"))
	}
	if want := d.pluginFiles(); !slices.Equal(built, want) {
		d.problem("fluent-bit.yaml: the plugins %v are %q in the build, and plugins.mk makes %v", d.bit.Plugins, built, want)
	}
}

func (d *deployment) checkInput(in map[string]string) {
	d.known("in_kms", in, slices.Concat(inputProperties, d.pluginProperties("input")))
	d.wantValue("in_kms", in, "name", d.pluginName("in_kms"))
	d.wantValue("in_kms", in, "storage.type", "filesystem")
	d.wantValue("in_kms", in, "storage.pause_on_chunks_overlimit", "on")
	for _, v := range d.project.Services["fluent-bit"].Volumes {
		if v.Target != path.Dir(in["checkpoint"]) && path.Dir(v.Target) != in["path"] {
			d.problem("fluent-bit.yaml: in_kms: path %q does not have the volume at %s", in["path"], v.Target)
		}
	}
	for _, p := range []string{in["checkpoint"], in["ack_path"], d.bit.Service["storage.path"]} {
		if !d.inVolume("fluent-bit", p) {
			d.problem("fluent-bit.yaml: %q is in no volume and would not survive the container", p)
		}
	}
}

func (d *deployment) checkOutput(out map[string]string) {
	d.known("out_kms", out, slices.Concat(outputProperties, d.pluginProperties("output")))
	d.wantValue("out_kms", out, "name", d.pluginName("out_kms"))
	d.wantValue("out_kms", out, "ack_path", d.bit.Pipeline.Inputs[0]["ack_path"])
	d.wantValue("out_kms", out, "retry_limit", "no_limits") // the default drops after one retry
	for _, b := range strings.Split(out["brokers"], ",") {
		d.checkBroker("fluent-bit.yaml", strings.TrimSpace(b))
	}
	if d.keytrail != nil {
		topics := wire.NewTopics(d.keytrail.Kafka.Prefix)
		d.wantTopic(out, "topic", wire.DefaultTopics().Events, topics.Events)
		d.wantTopic(out, "dead_letter_topic", wire.DefaultTopics().DeadLetter, topics.DeadLetter)
	}
	// A stop waits for flushes: flush_timeout < grace < stop_grace_period.
	timeout, err := time.ParseDuration(or(out["flush_timeout"], "4s"))
	grace, graceErr := strconv.Atoi(d.bit.Service["grace"])
	stop := d.project.Services["fluent-bit"].StopGracePeriod
	if err = errors.Join(err, graceErr); err != nil || stop == nil ||
		timeout >= time.Duration(grace)*time.Second || time.Duration(grace)*time.Second >= time.Duration(*stop) {
		d.problem("fluent-bit.yaml: want flush_timeout %v < grace %d s < stop_grace_period %v (%v)", timeout, grace, stop, err)
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// wantTopic holds that a topic of out_kms, given or by default, is keytrail's.
func (d *deployment) wantTopic(out map[string]string, property, byDefault, want string) {
	if got := or(out[property], byDefault); got != want {
		d.problem("fluent-bit.yaml: out_kms: %s is %q, and keytrail.yaml's is %q", property, got, want)
	}
}

func (d *deployment) wantValue(section string, properties map[string]string, name, want string) {
	if got := properties[name]; got != want {
		d.problem("fluent-bit.yaml: %s: %s is %q, want %q", section, name, got, want)
	}
}

// known holds that each property is one of the allowed.
func (d *deployment) known(section string, properties map[string]string, allowed []string) {
	for name := range properties {
		if !slices.Contains(allowed, name) {
			d.problem("fluent-bit.yaml: %s: unknown property %q; allowed: %s", section, name, strings.Join(allowed, ", "))
		}
	}
}

// pluginProperties returns the properties that a plugin's functions for parsing its
// configuration read: the texts given to the methods of their *property.Reader. The
// packages are internal to the plugins, so their source is read instead of calling
// them.
func (d *deployment) pluginProperties(pkg string) []string {
	var names []string
	calls := d.calls(path.Join("plugins/internal", pkg, "config.go"), "parse")
	if pkg == "input" {
		calls = append(calls, d.calls("plugins/internal/input/config_aws.go", "parse")...)
	}
	for _, call := range calls {
		args := call.Args
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Refuse" || !isReader(f.X)) {
			continue
		} else if !ok && (len(args) == 0 || !isReader(args[0])) {
			continue
		} else if !ok {
			args = args[1:] // topic(r, "name", ...)
		}
		if len(args) > 0 {
			if name, ok := literal(args[0]); ok {
				names = append(names, name)
			}
		}
	}
	if len(names) < 5 {
		d.problem("plugins/internal/%s/config.go: ParseConfig reads only %v: has it moved?", pkg, names)
	}
	return names
}

func isReader(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "r"
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// calls returns the calls in the functions of a file whose names begin with a word, in
// small letters or not.
func (d *deployment) calls(file, word string) []*ast.CallExpr {
	var list []*ast.CallExpr
	for _, decl := range d.parse(file) {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(strings.ToLower(f.Name.Name), word) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				list = append(list, call)
			}
			return true
		})
	}
	return list
}

// pluginName returns the constant "name" of a plugin, which it registers under.
func (d *deployment) pluginName(plugin string) string {
	for _, decl := range d.parse(path.Join("plugins", plugin, "main.go")) {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if ok && len(v.Names) == 1 && v.Names[0].Name == "name" && len(v.Values) == 1 {
				if text, ok := literal(v.Values[0]); ok {
					return text
				}
			}
		}
	}
	d.problem("plugins/%s/main.go has no constant name", plugin)
	return ""
}

func (d *deployment) parse(file string) []ast.Decl {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(d.root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		d.problem("%v", err)
		return nil
	}
	return f.Decls
}

// strict decodes a YAML document whose keys must all be known.
func strict(text string, into any) error {
	y := yaml.NewDecoder(strings.NewReader(text))
	y.KnownFields(true)
	if err := y.Decode(into); err != nil {
		return fmt.Errorf("cannot decode: %w", err)
	}
	return nil
}
