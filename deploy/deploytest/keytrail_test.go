package deploytest

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"keytrail/processor/config"
	"keytrail/processor/sink/otlphttp"
)

// checkKeytrail loads deploy/keytrail.yaml as keytrail does and holds that what
// it names is there.
func (d *deployment) checkKeytrail() {
	d.configMount("keytrail", "keytrail.yaml")
	c, err := config.Load(filepath.Join(d.root, "deploy", "keytrail.yaml"))
	if err != nil {
		d.problem("%v", err)
		return
	}
	d.keytrail = c
	for _, b := range c.Kafka.Brokers {
		d.checkBroker("keytrail.yaml", b)
	}
	if len(c.Sinks) == 0 {
		d.problem("keytrail.yaml: no sink")
	}
	for _, s := range c.Sinks {
		to, ok := s.To.(*otlphttp.Config)
		if !ok {
			d.problem("keytrail.yaml: sink %s writes to the container, which is read-only", s.Name)
			continue
		}
		u, err := url.Parse(to.Endpoint)
		if err != nil {
			d.problem("keytrail.yaml: sink %s: %v", s.Name, err)
			continue
		}
		if want := d.collectorAddress(); u.Host != want {
			d.problem("keytrail.yaml: sink %s sends to %q, and the collector listens at %q", s.Name, u.Host, want)
		}
	}
	if p := port(c.Telemetry.Listen); !d.published("keytrail", p) || !strings.HasPrefix(c.Telemetry.Listen, "0.0.0.0:") {
		d.problem("keytrail.yaml: telemetry.listen, %q, is not what docker-compose.yml publishes", c.Telemetry.Listen)
	}
}

var (
	stage    = regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`)
	copied   = regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`)
	included = regexp.MustCompile(`(?m)^!(.+)$`)
	made     = regexp.MustCompile(`(?m)^plugins: (.+)$`)
	goLine   = regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
)

// checkDockerfile holds that the stages which docker-compose.yml builds are
// there, that their base images are pinned, and that what is copied exists and
// is not ignored.
func (d *deployment) checkDockerfile() {
	file, stages := d.read("deploy/Dockerfile"), map[string]bool{"scratch": true}
	for _, m := range stage.FindAllStringSubmatch(file, -1) {
		if !stages[m[1]] && !pinned.MatchString(m[1]) {
			d.problem("Dockerfile: %q is neither a stage nor a pinned image", m[1])
		}
		if tag, isGo := strings.CutPrefix(m[1], "golang:"); isGo {
			if want := goLine.FindStringSubmatch(d.read("go.mod")); want == nil || !strings.HasPrefix(tag, want[1]+".") {
				d.problem("Dockerfile: Go %s, and go.mod asks for %v", tag, want)
			}
		}
		stages[m[2]] = true
	}
	for name, s := range d.project.Services {
		if s.Build == nil {
			continue
		}
		if s.Build.Dockerfile != "deploy/Dockerfile" || !stages[s.Build.Target] {
			d.problem("service %s: builds %q of %q, which is no stage of deploy/Dockerfile", name, s.Build.Target, s.Build.Dockerfile)
		}
	}
	kept := map[string]bool{}
	for _, m := range included.FindAllStringSubmatch(d.read("deploy/Dockerfile.dockerignore"), -1) {
		kept[m[1]] = true
	}
	for _, m := range copied.FindAllStringSubmatch(file, -1) {
		for _, source := range strings.Fields(m[1]) {
			if !kept[source] {
				d.problem("Dockerfile: copies %q, which Dockerfile.dockerignore leaves out", source)
			}
			if paths, err := filepath.Glob(filepath.Join(d.root, source)); err != nil || len(paths) == 0 {
				d.problem("Dockerfile: copies %q, which is not there (%v)", source, err)
			}
		}
	}
	for _, p := range d.bit.Plugins {
		if built := "build/" + filepath.Base(p); !strings.Contains(file, `"`+built+`"`) {
			d.problem("Dockerfile: service plugins does not copy %q", built)
		}
	}
}

// pluginFiles returns what "make plugins" makes: "build/in_kms.so" and so on.
func (d *deployment) pluginFiles() []string {
	if m := made.FindStringSubmatch(d.read("plugins/plugins.mk")); m != nil {
		return strings.Fields(m[1])
	}
	d.problem("plugins/plugins.mk: no rule for plugins")
	return nil
}
