package deploytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"keytrail/processor/config"
)

// projectRoot is the project's root as the tests see it.
const projectRoot = "../.."

// deployment is everything that one docker-compose.yml starts.
type deployment struct {
	root      string // absolute
	project   *types.Project
	keytrail  *config.Config
	bit       fluentBit
	collector collector
	images    map[string]image // by the stage of deploy/Dockerfile
	problems  []string
}

func (d *deployment) problem(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

// check returns what is wrong with the deployment whose files are below root.
func check(ctx context.Context, root string) []string {
	root, err := filepath.Abs(root)
	if err != nil {
		return []string{err.Error()}
	}
	d := &deployment{root: root}
	d.checkVariables()
	d.loadCompose(ctx)
	if d.project == nil {
		return d.problems
	}
	d.checkServices()
	d.checkVersions()
	d.checkKafka()
	d.checkDockerfile()
	d.checkKeytrail()
	d.checkFluentBit()
	d.checkTrail()
	d.checkCollector()
	return d.problems
}

func TestDeployment(t *testing.T) {
	for _, p := range check(t.Context(), projectRoot) {
		t.Error(p)
	}
}

// loadCompose loads docker-compose.yml with all its profiles and an empty environment.
func (d *deployment) loadCompose(ctx context.Context, environment ...string) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(d.root, "docker-compose.yml")},
		cli.WithWorkingDirectory(d.root), cli.WithResolvedPaths(true), cli.WithDiscardEnvFile, cli.WithProfiles([]string{"*"}),
		cli.WithEnv(environment))
	if err != nil {
		d.problem("docker-compose.yml: %v", err)
		return
	}
	if d.project, err = options.LoadProject(ctx); err != nil {
		d.problem("docker-compose.yml: %v", err)
	}
}

// pinned is an image with a version of at least two numbers.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+[a-z0-9.-]*$`)

// checkServices holds what is true of every service.
func (d *deployment) checkServices() {
	for name, s := range d.project.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			d.problem("service %s: image %q has no pinned version", name, s.Image)
		}
		if s.MemLimit == 0 {
			d.problem("service %s: no mem_limit", name)
		}
		if s.Restart != types.RestartPolicyUnlessStopped && name != "setup" {
			d.problem("service %s: restart is %q: a killed one stays dead", name, s.Restart)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			d.problem("service %s: its log grows without bound", name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				d.problem("service %s: port %d is published on %q, want 127.0.0.1", name, p.Target, p.HostIP)
			}
		}
		if s.HealthCheck != nil && strings.Contains(strings.Join(s.HealthCheck.Test, " "), ".sh") {
			d.problem("service %s: its healthcheck %q starts a JVM each time", name, s.HealthCheck.Test)
		}
		for other, on := range s.DependsOn {
			if on.Condition == types.ServiceConditionHealthy && d.project.Services[other].HealthCheck == nil {
				d.problem("service %s waits for %s to be healthy, which has no healthcheck", name, other)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				d.checkBind(name, v)
			}
		}
	}
}

// checkBind holds that a mounted file is there, and that no container writes to the
// checkout: its files would belong to root.
func (d *deployment) checkBind(service string, v types.ServiceVolumeConfig) {
	if !v.ReadOnly {
		d.problem("service %s: %s is mounted for writing", service, v.Source)
	}
	if s := d.project.Services[service]; s.User != "0:0" && service != "fluent-bit" {
		d.problem("service %s mounts %s, which its user %q may be unable to read; copy it into the image", service, v.Source,
			s.User)
	}
	if _, err := os.Stat(v.Source); err != nil {
		d.problem("service %s mounts what is not there: %v", service, err)
	}
}

// checkVersions holds that the images are of the versions with which the tests run.
func (d *deployment) checkVersions() {
	for service, name := range map[string]string{"kafka": "kafka", "opensearch": "opensearch", "dashboards": "opensearch"} {
		m := regexp.MustCompile("<" + name + ">(.+)</" + name + ">").FindStringSubmatch(d.read("scripts/" + name + ".pom.xml"))
		if _, tag, _ := strings.Cut(d.project.Services[service].Image, ":"); m == nil || tag != m[1] {
			d.problem("service %s: image %q, and scripts/%s.pom.xml has the version %q", service,
				d.project.Services[service].Image, name, m)
		}
	}
}

// checkTrail holds that the generator writes where Fluent Bit reads, and that one's own
// trail is a folder, whatever the form of its name.
func (d *deployment) checkTrail() {
	out := regexp.MustCompile(`--live --out (\S+)`).FindStringSubmatch(strings.Join(d.project.Services["trail"].Command, " "))
	if out == nil || !d.inVolume("trail", out[1]+"/") {
		d.problem("service trail: its command %q writes no live trail into a volume", d.project.Services["trail"].Command)
	}
	shared := false
	for _, w := range d.project.Services["trail"].Volumes {
		for _, r := range d.project.Services["fluent-bit"].Volumes {
			shared = shared || w.Type == types.VolumeTypeVolume && r.Source == w.Source
		}
	}
	if !shared {
		d.problem("service fluent-bit has no volume of service trail")
	}
	for _, name := range []string{"mytrail", "./mytrail", "/var/mytrail"} {
		other := &deployment{root: d.root}
		other.loadCompose(context.Background(), "KEYTRAIL_TRAIL="+name)
		want := name
		if !filepath.IsAbs(want) {
			want = filepath.Join(d.root, "mytrail")
		}
		if other.project == nil {
			d.problem("KEYTRAIL_TRAIL=%s: %v", name, other.problems)
		} else if got := other.mounted("fluent-bit", "/trail/own"); got != want {
			d.problem("KEYTRAIL_TRAIL=%s mounts %q, want %q", name, got, want)
		}
	}
}

// checkVariables holds that every variable of docker-compose.yml has a default.
func (d *deployment) checkVariables() {
	text := d.read("docker-compose.yml")
	for _, m := range regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)(:-[^}]+)?`).FindAllStringSubmatch(text, -1) {
		if m[2] == "" {
			d.problem("docker-compose.yml: variable %s has no default", m[1])
		}
	}
}

// read returns the text of a file, and "" with a problem when there is none.
func (d *deployment) read(path string) string {
	text, err := os.ReadFile(filepath.Join(d.root, path))
	if err != nil {
		d.problem("%v", err)
	}
	return string(text)
}

// mounted returns the path on this machine of a file that a service sees at
// path, and "" when path is in no bind mount.
func (d *deployment) mounted(service, path string) string {
	for _, v := range d.project.Services[service].Volumes {
		if rest, ok := strings.CutPrefix(path, v.Target); ok && v.Type == types.VolumeTypeBind && (rest == "" || rest[0] == '/') {
			return filepath.Join(v.Source, rest)
		}
	}
	return ""
}

// inVolume reports whether path, as a service sees it, outlives the container.
func (d *deployment) inVolume(service, path string) bool {
	for _, v := range d.project.Services[service].Volumes {
		if v.Type == types.VolumeTypeVolume && strings.HasPrefix(path, v.Target+"/") {
			return true
		}
	}
	return false
}

// published reports whether a service's port is published, under any number.
func (d *deployment) published(service, port string) bool {
	for _, p := range d.project.Services[service].Ports {
		if strconv.FormatUint(uint64(p.Target), 10) == port {
			return true
		}
	}
	return false
}

// configMount holds that service is started with a file that is mounted from
// the given one of deploy/.
func (d *deployment) configMount(service, file string) {
	want := filepath.Join(d.root, "deploy", file)
	for _, word := range d.project.Services[service].Command {
		_, path, assigned := strings.Cut(word, "=")
		if !assigned {
			path = word
		}
		if d.mounted(service, path) == want {
			return
		}
	}
	d.problem("service %s: its command %q names no file that is mounted from deploy/%s",
		service, d.project.Services[service].Command, file)
}
