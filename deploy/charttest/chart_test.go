package charttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const (
	chartDir = "../helm/keytrail"
	rules    = "../prometheus/keytrail.rules.yaml"
	operator = "monitoring.coreos.com/v1" // the API of the Prometheus operator
)

type object = map[string]any

// at returns a value below an object: keys, and indexes of lists.
func at(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

// values parses YAML.
func values(t *testing.T, text string) object {
	t.Helper()
	v := object{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// render renders the chart and returns the manifests by kind.
func render(v object, apis ...string) (map[string]object, error) {
	c, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), apis...)
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "prod", Namespace: "security", IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	kinds := map[string]object{}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		for _, part := range strings.Split(text, "\n---\n") {
			o := object{}
			if err := yaml.UnmarshalStrict([]byte(part), &o); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, part)
			}
			if len(o) == 0 {
				continue
			}
			kind, _ := o["kind"].(string)
			if kinds[kind] != nil {
				return nil, fmt.Errorf("two manifests of kind %q", kind)
			}
			kinds[kind] = o
		}
	}
	return kinds, nil
}

// examples are the values in testdata.
func examples(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(list) < 4 {
		t.Fatal(list, err)
	}
	return list
}

// TestManifests: every manifest fits Kubernetes' own schema, the pods are "restricted", and
// keytrail accepts the configuration.
func TestManifests(t *testing.T) {
	kubernetes := newSchemas(t)
	keytrail := filepath.Join(t.TempDir(), "keytrail")
	build := exec.Command("go", "build", "-o", keytrail, ".")
	build.Dir = "../.."
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, name := range examples(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			kinds, err := render(values(t, file(t, name)), operator)
			if err != nil {
				t.Fatal(err)
			}
			for kind, o := range kinds {
				if o["apiVersion"] == operator {
					continue // TestMonitoring
				}
				if err := kubernetes.check(o); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
			restricted(t, kinds["StatefulSet"])
			config := filepath.Join(t.TempDir(), "keytrail.yaml")
			text, _ := at(kinds["ConfigMap"], "data", "keytrail.yaml").(string)
			// Files of secrets are on the pod only.
			text = strings.ReplaceAll(text, "/etc/keytrail/secrets/KAFKA_PASSWORD", config)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			check := exec.Command(keytrail, "config", "check", "-c", config)
			check.Env = append(os.Environ(), "POD_NAME=prod-keytrail-0", "KAFKA_PASSWORD=not-a-secret", "SIEM_TOKEN=not-a-secret")
			if said, err := check.CombinedOutput(); err != nil {
				t.Errorf("keytrail refuses the configuration: %s\n%s", said, text)
			}
		})
	}
}

// template returns the pods of a StatefulSet.
func template(t *testing.T, set object) (pod corev1.PodTemplateSpec) {
	t.Helper()
	text, err := yaml.Marshal(at(set, "spec", "template"))
	if err == nil {
		err = yaml.UnmarshalStrict(text, &pod)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// restricted holds pods to Pod Security's strictest level, and to what that does not ask for.
func restricted(t *testing.T, set object) {
	t.Helper()
	pod := template(t, set)
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, r := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !r.Allowed {
			t.Errorf("Pod Security: %s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	c := pod.Spec.Containers[0]
	if len(pod.Spec.Containers) != 1 || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the root file system can be written")
	}
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod has a token of its service account")
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.String() != c.Ports[0].Name {
			t.Errorf("a probe is missing, or not of the metrics' port: %+v", probe)
		}
	}
	if c.ReadinessProbe.HTTPGet.Path == c.LivenessProbe.HTTPGet.Path {
		t.Error("a pod that is not ready would be killed")
	}
}

// TestParts: the chart has each part only where it belongs.
func TestParts(t *testing.T) {
	kinds := func(text string, apis ...string) map[string]object {
		t.Helper()
		k, err := render(values(t, text), apis...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	base := "config: {kafka: {brokers: [a:9092]}}\n"
	one, two := kinds(base), kinds(base+"replicas: 2")
	if one["PodDisruptionBudget"] != nil || two["PodDisruptionBudget"] == nil {
		t.Error("a PodDisruptionBudget is for more than one replica")
	}
	if one["ServiceMonitor"] != nil || one["PrometheusRule"] != nil || one["NetworkPolicy"] != nil || one["Secret"] != nil {
		t.Error("the least values give parts that nobody asked for")
	}
	annotation := func(k map[string]object, name string) any {
		return at(k["StatefulSet"], "spec", "template", "metadata", "annotations", name)
	}
	secret := kinds(base + "secret: {A: b}")
	if annotation(one, "checksum/config") == annotation(kinds("config: {kafka: {brokers: [b:9092]}}"), "checksum/config") ||
		annotation(one, "checksum/secret") == annotation(secret, "checksum/secret") ||
		annotation(secret, "checksum/secret") == annotation(kinds(base+"secret: {A: c}"), "checksum/secret") {
		t.Error("a change of the configuration or of the secret does not restart the pods")
	}
	if at(secret["Secret"], "metadata", "name") != at(secret["StatefulSet"], "spec", "template", "spec", "containers", 0, "envFrom", 0, "secretRef", "name") {
		t.Error("the pods do not use the chart's Secret")
	}
	if !strings.Contains(fmt.Sprint(at(one["ConfigMap"], "data")), "instance_id: ${POD_NAME}") {
		t.Errorf("the pods are not static members of their groups: %v", one["ConfigMap"])
	}
	for memory, want := range map[string]string{"1Gi": "966367641B", "500M": "450000000B", "2000000000": "1800000000B"} {
		k := kinds(base + "resources: {limits: {memory: \"" + memory + "\"}}")
		got := ""
		for _, e := range template(t, k["StatefulSet"]).Spec.Containers[0].Env {
			if e.Name == "GOMEMLIMIT" {
				got = e.Value
			}
		}
		if got != want {
			t.Errorf("a limit of %s gives GOMEMLIMIT=%s, want %s", memory, got, want)
		}
	}
}

// TestMonitoring: with the Prometheus operator the chart has the rules of deploy/prometheus.
func TestMonitoring(t *testing.T) {
	kinds, err := render(values(t, "config: {kafka: {brokers: [a:9092]}}"), operator)
	if err != nil {
		t.Fatal(err)
	}
	want := values(t, file(t, rules))
	if got := kinds["PrometheusRule"]["spec"]; !reflect.DeepEqual(got, any(want)) {
		t.Errorf("the PrometheusRule differs from %s", rules)
	}
	selects := at(kinds["ServiceMonitor"], "spec", "selector", "matchLabels")
	for name, value := range selects.(object) {
		if at(kinds["Service"], "metadata", "labels", name) != value {
			t.Errorf("the ServiceMonitor does not select the Service: %s", name)
		}
	}
	if at(kinds["ServiceMonitor"], "spec", "endpoints", 0, "port") != at(kinds["Service"], "spec", "ports", 0, "name") {
		t.Error("the ServiceMonitor names another port than the Service")
	}
}

// TestRefused: wrong values are refused, with a text that names them.
func TestRefused(t *testing.T) {
	base := "config: {kafka: {brokers: [a:9092]}}\n"
	for text, want := range map[string]string{
		base + "replica: 2":                                                    "replica",
		base + "replicas: 0":                                                   "replicas",
		base + "replicas: two":                                                 "replicas",
		base + "resources: {limits: {memory: 1.5Gi}}":                          "memory",
		base + "resources: {limits: {memory: null}}":                           "memory",
		base + "image: {repository: \"a:1\"}":                                  "repository",
		base + "image: {repository: a, digest: \"sha256:1\"}":                  "digest",
		base + "secret: {A: 1}":                                                "secret",
		base + "secret: {A: b}\nexistingSecret: c":                             "both set",
		base + "serviceMonitor: {interval: often}":                             "interval",
		"config: {kafka: {brokers: []}}":                                       "brokers",
		"config: {kafka: {brokers: [a:9092], embedded: true}}":                 "embedded",
		"config: {kafka: {brokers: [a:9092], instance_id: x}}":                 "instance_id",
		"config: {kafka: {brokers: [a:9092]}, stages: [sort]}":                 "stages",
		"config: {kafka: {brokers: [a:9092]}, sink: []}":                       "sink",
		"config: {kafka: {brokers: [a:9092]}, telemetry: {listen: \":1\"}}":    "listen",
		"config: {kafka: {brokers: [a:9092]}, sources: [{name: s, type: s3}]}": "persistence.enabled",
		"replicas: 2\npersistence: {enabled: true}\nconfig: {kafka: {brokers: [a:9092]}, sources: [{name: s, type: s3}]}": "only one process",
	} {
		if _, err := render(values(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nis taken, or its refusal does not name %q: %v", text, want, err)
		}
	}
}

// TestLint: helm lint has nothing to say, except that there is no icon.
func TestLint(t *testing.T) {
	for _, name := range examples(t) {
		for _, m := range lint.AllWithKubeVersion(chartDir, values(t, file(t, name)), "security", nil).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}
