package deploytest

import (
	"context"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"keytrail/processor/config"
	"keytrail/processor/sink/otlphttp"
	"keytrail/processor/sink/search"
)

// checkKeytrail loads the configurations as keytrail does and holds that what they name is
// there.
func (d *deployment) checkKeytrail() {
	d.keytrail = d.checkConfig("keytrail", "keytrail.yaml")
	d.checkConfig("setup", "keytrail.yaml")
	d.checkConfig("page", "keytrail.yaml")
	other := d.checkConfig("forward", "collector.yaml")
	if d.keytrail == nil || other == nil {
		return
	}
	if p := port(d.keytrail.Telemetry.Listen); !d.published("keytrail", p) ||
		!strings.HasPrefix(d.keytrail.Telemetry.Listen, "0.0.0.0:") {
		d.problem("keytrail.yaml: telemetry.listen, %q, is not what docker-compose.yml publishes", d.keytrail.Telemetry.Listen)
	}
	d.checkPage()
	if d.keytrail.Kafka.Prefix != other.Kafka.Prefix || d.keytrail.Kafka.Partitions != other.Kafka.Partitions {
		d.problem("collector.yaml: its topics are not those of keytrail.yaml")
	}
	names := []string{"sinks", "setup", "--apply"} // of the sink that is set up
	for _, s := range d.keytrail.Sinks {
		if s.Type == "opensearch" {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if !slices.Contains(d.project.Services["setup"].Command, name) {
			d.problem("service setup: its command %q has no %q", d.project.Services["setup"].Command, name)
		}
	}
}

// checkPage holds that the page is published as its users are told, and keeps its history
// where its user may write.
func (d *deployment) checkPage() {
	w := d.keytrail.Web
	if p := port(w.Listen); !d.published("page", p) || !strings.HasPrefix(w.Listen, "0.0.0.0:") {
		d.problem("keytrail.yaml: web.listen, %q, is not what docker-compose.yml publishes for service page", w.Listen)
	}
	if len(d.project.Services["page"].Command) == 0 || d.project.Services["page"].Command[0] != "web" {
		d.problem("service page: its command %q does not serve the page", d.project.Services["page"].Command)
	}
	if source := d.images["demo"].files[path.Dir(w.Path)]; !d.inVolume("page", w.Path) || source == "" {
		d.problem("keytrail.yaml: web.path, %q, is in no volume of service page that the image makes for its user", w.Path)
	}
	if _, err := w.Access(context.Background()); err != nil {
		d.problem("keytrail.yaml: %v", err)
	}
	for name, token := range w.Analysts {
		password, err := token.Read(context.Background())
		for _, file := range []string{"docker-compose.yml", "docs/compose.md"} {
			if text := d.read(file); err != nil || !strings.Contains(text, "http://localhost:"+port(w.Listen)+"/") ||
				!strings.Contains(text, password) {
				d.problem("%s: it lacks the page's address with port %s, or the password of %s (%v)", file, port(w.Listen), name, err)
			}
		}
	}
}

// checkConfig holds that a service is started with a configuration of deploy/, and that
// brokers and sinks are reached there.
func (d *deployment) checkConfig(service, file string) *config.Config {
	d.configCopied(service, file)
	c, err := config.Load(filepath.Join(d.root, "deploy", file))
	if err != nil {
		d.problem("%v", err)
		return nil
	}
	for _, b := range c.Kafka.Brokers {
		d.checkBroker(file, b)
	}
	if len(c.Sinks) == 0 {
		d.problem("%s: no sink", file)
	}
	for _, s := range c.Sinks {
		endpoint, want := "", ""
		switch to := s.To.(type) {
		case *otlphttp.Config:
			endpoint, want = to.Endpoint, d.collectorAddress()
		case *search.OpenSearch:
			endpoint, want = to.Endpoint, "opensearch:9200"
			if !d.published("opensearch", "9200") {
				d.problem("service opensearch: port 9200, that of its API, is not published")
			}
		default:
			d.problem("%s: sink %s writes to the container, which is read-only", file, s.Name)
			continue
		}
		u, err := url.Parse(endpoint)
		if err != nil {
			d.problem("%s: sink %s: %v", file, s.Name, err)
		} else if u.Host != want {
			d.problem("%s: sink %s sends to %q, and the receiver listens at %q", file, s.Name, u.Host, want)
		}
	}
	return c
}

var (
	stage    = regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`)
	copied   = regexp.MustCompile(`^COPY ((?:--\S+ )*)(.+) (\S+)$`)
	included = regexp.MustCompile(`(?m)^!(.+)$`)
	made     = regexp.MustCompile(`(?m)^plugins: (.+)$`)
	goLine   = regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
)

// image is a stage of deploy/Dockerfile.
type image struct {
	files map[string]string // what is copied, by its path in the image
	open  map[string]bool   // those of files that every user may read
}

// checkDockerfile reads deploy/Dockerfile and holds that the stages which docker-compose.yml
// builds are there, that their base images are pinned, and that what is copied exists and is
// not ignored.
func (d *deployment) checkDockerfile() {
	file := d.read("deploy/Dockerfile")
	d.images = map[string]image{"scratch": {}}
	kept := map[string]bool{}
	for _, m := range included.FindAllStringSubmatch(d.read("deploy/Dockerfile.dockerignore"), -1) {
		kept[m[1]] = true
	}
	name := ""
	for line := range strings.Lines(file) {
		line = strings.TrimSpace(line)
		if m := stage.FindStringSubmatch(line); m != nil {
			name = m[2]
			d.checkBase(m[1])
			d.images[name] = image{files: map[string]string{}, open: map[string]bool{}}
		}
		m := copied.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, source := range strings.Fields(m[2]) {
			target := m[3]
			if strings.HasSuffix(target, "/") {
				target += path.Base(source)
			}
			d.images[name].files[target] = source
			d.images[name].open[target] = strings.Contains(m[1], "--chmod=0444")
			if strings.Contains(m[1], "--from") {
				continue
			}
			if !kept[source] {
				d.problem("Dockerfile: copies %q, which Dockerfile.dockerignore leaves out", source)
			}
			if paths, err := filepath.Glob(filepath.Join(d.root, source)); err != nil || len(paths) == 0 {
				d.problem("Dockerfile: copies %q, which is not there (%v)", source, err)
			}
		}
	}
	for name, s := range d.project.Services {
		if s.Build == nil {
			continue
		}
		if _, ok := d.images[s.Build.Target]; s.Build.Dockerfile != "deploy/Dockerfile" || !ok {
			d.problem("service %s: builds %q of %q, which is no stage of deploy/Dockerfile", name, s.Build.Target, s.Build.Dockerfile)
		}
	}
}

// checkBase holds that the base of an image is a stage or has a version: that of go.mod or
// that of the tests.
func (d *deployment) checkBase(base string) {
	if _, ok := d.images[base]; !ok && !pinned.MatchString(base) {
		d.problem("Dockerfile: %q is neither a stage nor a pinned image", base)
	}
	if tag, isGo := strings.CutPrefix(base, "golang:"); isGo {
		if want := goLine.FindStringSubmatch(d.read("go.mod")); want == nil || !strings.HasPrefix(tag, want[1]+".") {
			d.problem("Dockerfile: Go %s, and go.mod asks for %v", tag, want)
		}
	}
}

// configCopied holds that service is started with a file that its image has from deploy/,
// readable for everybody.
func (d *deployment) configCopied(service, file string) {
	s := d.project.Services[service]
	target := ""
	if s.Build != nil {
		target = s.Build.Target
	}
	in := d.images[target]
	words := strings.Join(s.Command, " ") + " " + d.command(target)
	for name, source := range in.files {
		if source == "deploy/"+file && strings.Contains(words, name) {
			if !in.open[name] {
				d.problem("Dockerfile: %s has the mode of the checkout, which its user may be unable to read", name)
			}
			return
		}
	}
	d.problem("service %s: its command %q names no file that its image has from deploy/%s", service, words, file)
}

// command returns the CMD of a stage of deploy/Dockerfile.
func (d *deployment) command(target string) string {
	_, text, _ := strings.Cut(d.read("deploy/Dockerfile"), " AS "+target+"\n")
	text, _, _ = strings.Cut(text, "\nFROM ")
	_, text, _ = strings.Cut(text, "\nCMD ")
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// pluginFiles returns what "make plugins" makes: "build/in_kms.so" and so on.
func (d *deployment) pluginFiles() []string {
	if m := made.FindStringSubmatch(d.read("plugins/plugins.mk")); m != nil {
		return strings.Fields(m[1])
	}
	d.problem("plugins/plugins.mk: no rule for plugins")
	return nil
}
