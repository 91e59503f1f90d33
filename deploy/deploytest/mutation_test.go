package deploytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// deployed are the files that the checks read, besides folders that only have to
// be there.
var deployed = []string{"docker-compose.yml", "go.mod", "go.sum", "main.go", "plugins/plugins.mk",
	"deploy/Dockerfile", "deploy/Dockerfile.dockerignore", "deploy/fluent-bit.yaml", "deploy/keytrail.yaml",
	"deploy/collector.yaml", "deploy/otelcol.yaml", "deploy/own/", "scripts/kafka.pom.xml", "scripts/opensearch.pom.xml", "plugins/in_kms/main.go", "plugins/out_kms/main.go",
	"plugins/internal/input/config.go", "plugins/internal/input/config_aws.go", "plugins/internal/output/config.go", "schemas/", "processor/", "docs/compose.md"}

// The files that most mutations are of.
const (
	compose  = "docker-compose.yml"
	bit      = "deploy/fluent-bit.yaml"
	keytrail = "deploy/keytrail.yaml"
	otel     = "deploy/otelcol.yaml"
	docker   = "deploy/Dockerfile"
)

// mutation breaks one thing in a copy of the deployment, by putting replacement
// for old in a file, and holds that the checks notice.
func mutation(t *testing.T) func(file, old, replacement, want string) {
	return func(file, old, replacement, want string) {
		t.Helper()
		root := copyDeployment(t)
		path := filepath.Join(root, file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), old) {
			t.Errorf("%s does not hold %q, so nothing was broken", file, old)
			return
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		problems := strings.Join(check(t.Context(), root), "\n")
		if !strings.Contains(problems, want) {
			t.Errorf("%s: %q for %q: want a problem with %q, got:\n%s", file, replacement, old, want, problems)
		}
	}
}

func TestMutationsOfCompose(t *testing.T) {
	f := mutation(t)
	// docker-compose.yml
	f(compose, "services:", "servces:", "docker-compose.yml: ")
	f(compose, "127.0.0.1:4318:4318", "4318:4318", `published on "", want 127.0.0.1`)
	f(compose, "otel/opentelemetry-collector-contrib:0.149.0", "otel/opentelemetry-collector-contrib:latest", "no pinned version")
	f(compose, "apache/kafka:4.4.0", "apache/kafka:4.3.1", "scripts/kafka.pom.xml has the version")
	f(compose, "opensearch-dashboards:2.19.6", "opensearch-dashboards:2.19.5", "scripts/opensearch.pom.xml has the version")
	f(compose, "./deploy/otelcol.yaml", "./deploy/siem.yaml", "mounts what is not there")
	f(compose, "keytrail.yaml, --apply", "keytrail.yml, --apply", "names no file that its image has")
	f(compose, "--apply, siem", "siem", `has no "--apply"`)
	f(compose, "--apply, siem", "--apply, kafka", `has no "siem"`)
	f(compose, "${KEYTRAIL_TRAIL:-./deploy/own}", "${KEYTRAIL_TRAIL}", "KEYTRAIL_TRAIL has no default")
	f(compose, "type: bind\n        source: ${KEYTRAIL_TRAIL:-./deploy/own}", "type: volume\n        source: ${KEYTRAIL_TRAIL:-trail}", "KEYTRAIL_TRAIL=mytrail")
	f(compose, "target: fluent-bit", "target: plugin", "no stage of deploy/Dockerfile")
	f(compose, "      opensearch:\n        condition: service_healthy\n    restart", "      trail:\n        condition: service_healthy\n    restart", "has no healthcheck")
	f(compose, "otelcol.yaml:ro", "otelcol.yaml", "is mounted for writing")
	f(compose, `user: "0:0"`, `user: "10001"`, "may be unable to read")
	f(compose, "mem_limit: 512m", "init: true", "no mem_limit")
	f(compose, "restart: unless-stopped", "restart: on-failure", "a killed one stays dead")
	f(compose, "max-size: 10m, ", "", "grows without bound")
	f(compose, `bash, -c, "exec 3<>/dev/tcp/kafka/19092"`, `/opt/kafka/bin/kafka-topics.sh, --list`, "starts a JVM")
	f(compose, "stop_grace_period: 30s", "stop_grace_period: 5s", "stop_grace_period")
	f(compose, "--out, /trail", "--out, /tmp", "writes no live trail into a volume")
	f(compose, "      - trail:/trail/live:ro\n", "", "has no volume of service trail")
	f(compose, "trail:/trail/live:ro", "trail:/live:ro", "does not have the volume at /live")
	f(compose, "127.0.0.1:8321:8321", "127.0.0.1:8321:8322", "web.listen")
	f(compose, "127.0.0.1:8321:8321", "8321:8321", `published on "", want 127.0.0.1`)
	f(compose, "page-data:/history", "page-data:/state", "web.path")
	f(compose, "http://localhost:8321/ (", "http://localhost:8322/ (", "lacks the page's address")
	f(compose, "[web, -c", "[run, -c", "does not serve the page")
	// Kafka's listeners
	f(compose, "INTERNAL://kafka:19092", "INTERNAL://kafka:29092", "listens at 19092")
	f(compose, "EXTERNAL://127.0.0.1:9092", "EXTERNAL://127.0.0.1:9093", "is not published")
	f(compose, "INTERNAL:PLAINTEXT,", "", "has no protocol")
	f(compose, "1@kafka:9093", "1@kafka:9094", "the voter")
	f(compose, "NAME: INTERNAL", "NAME: INSIDE", "names no listener")
	f(compose, "KAFKA_LOG_DIRS: /var", "KAFKA_LOG_DIRS: /tmp/var", "is in no volume")
}

func TestMutationsOfConfigurations(t *testing.T) {
	f := mutation(t)
	// keytrail.yaml and collector.yaml
	f(keytrail, "kafka:19092", "kafka:9092", "no address that service kafka advertises")
	f(keytrail, "opensearch:9200", "opensearch:9201", `the receiver listens at "opensearch:9200"`)
	f(keytrail, "anomalous", "daily", "sinks[0].take.windows")
	f(keytrail, "9464", "9465", "telemetry.listen")
	f(keytrail, "0.0.0.0:8321", "127.0.0.1:8321", "web.listen")
	f(keytrail, "insecure: true # beyond", "insecure: false # beyond", "web.listen")
	f(keytrail, "demonstration: keytrail-demonstration", "demonstration: short", "want 20 or more")
	f(keytrail, "kafka:\n", "kafka:\n  prefix: eu.\n", `keytrail.yaml's is "eu.events"`)
	f("deploy/collector.yaml", "collector:4318", "collector:4317", `the receiver listens at "collector:4318"`)
	f("deploy/collector.yaml", "events: 1", "events: 2", "its topics are not those of keytrail.yaml")
	// fluent-bit.yaml
	f(bit, "pipeline:", "pipelines:", "cannot decode")
	f(bit, "brokers: kafka:19092", "brokers: kafka:9092", "no address that service kafka advertises")
	f(bit, "brokers:", "broker:", `unknown property "broker"`)
	f(bit, "checkpoint:", "checkpoints:", `unknown property "checkpoints"`)
	f(bit, "flush: 0.2", "flush: 0.2\n  hot_reload: on", "hot_reload")
	f(bit, "keytrail/in_kms.so", "keytrail/flb-in_kms.so", "plugins.mk makes")
	f(bit, "name: in_kms", "name: kms", `name is "kms"`)
	f(bit, "retry_limit: no_limits", "retry_limit: 5", "retry_limit")
	f(bit, "filesystem", "memory", "storage.type")
	f(bit, "/state/in_kms.ack", "/state/ack", "ack_path")
	f(bit, "checkpoint: /state/", "checkpoint: /tmp/", "would not survive")
	f(bit, "path: /trail", "path: /trails", "does not have the volume at /trail/live")
	f(bit, "match: kms", "match: cloudtrail", "the output matches")
	f(bit, "http_port: 2020", "http_port: 2021", "is not published")
	f(bit, "grace: 20", "grace: 3", "flush_timeout")
	// otelcol.yaml
	f(otel, "exporters: [debug, file]", "exporters: [debug]", "are defined and [debug] are used")
	f(otel, "receivers: [otlp]", "receivers: [otlphttp]", "are defined and [otlphttp] are used")
	f(otel, "verbosity", "verbose", "cannot decode")
	f(otel, "    logs:", "    traces:", "keytrail sends logs only")
	f(otel, "0.0.0.0:4318", "127.0.0.1:4318", "cannot be reached")
	f(otel, "/var/lib/siem/", "/tmp/", "is in no volume")
	f(otel, "max_backups: 3", "max_backups: 0", "grows without bound")
}

func TestMutationsOfWhatIsBuilt(t *testing.T) {
	f := mutation(t)
	// the images
	f(docker, "golang:1.26.8-bookworm", "golang:latest", "neither a stage nor a pinned image")
	f(docker, "golang:1.26.8-bookworm", "golang:1.25.1-bookworm", "go.mod asks for")
	f(docker, "fluent/fluent-bit:5.1.1", "fluent/fluent-bit", "neither a stage nor a pinned image")
	f(docker, "COPY main.go", "COPY keytrail.go", "which is not there")
	f(docker, "build/out_kms.so", "build/kms.so", "plugins.mk makes")
	f(docker, "COPY --chmod=0444 deploy/fluent-bit.yaml", "COPY deploy/fluent-bit.yaml", "has the mode of the checkout")
	f(docker, "COPY --chmod=0444 deploy/keytrail.yaml", "COPY deploy/keytrail.yaml", "has the mode of the checkout")
	f("deploy/Dockerfile.dockerignore", "!schemas\n", "", "leaves out")
	// the plugins
	f("plugins/plugins.mk", "plugins: build/in_kms.so", "plugins: build/kms.so", "plugins.mk makes")
	f("plugins/internal/input/config.go", `"path"`, `"marks"`, `unknown property "path"`)
	f("plugins/out_kms/main.go", `name = "out_kms"`, `name = "kms"`, `name is "out_kms"`)
}

// copyDeployment copies what the checks read into its own folder.
func copyDeployment(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range deployed {
		to := filepath.Join(root, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(to, 0o750); err != nil {
				t.Fatal(err)
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(projectRoot, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestCopyIsWhole holds that the copy has no problems itself, without which
// the tests of mutations would show nothing.
func TestCopyIsWhole(t *testing.T) {
	for _, p := range check(t.Context(), copyDeployment(t)) {
		t.Error(p)
	}
}

// TestSampleTrail holds that every event of the sample becomes a log record.
func TestSampleTrail(t *testing.T) {
	f, err := os.Open(filepath.Join(projectRoot, "deploy/trail/sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	reader := cloudtrail.NewReader(f, f.Name(), decoding.Limits{})
	normalizer := normalize.New(normalize.Options{})
	var event cloudtrail.Event
	var record otellog.Record
	names := map[string]int{}
	for reader.Next(&event) == nil {
		record.Reset()
		ok, err := normalizer.Record(&event, 0, &record)
		if err != nil || !ok {
			t.Errorf("event %d, %s: taken: %v, %v", event.Index, event.Name, ok, err)
		}
		names[record.EventName]++
	}
	if names["aws.kms.api_call"] != 4 || names["aws.cloudtrail.trail_change"] != 1 || len(names) != 2 {
		t.Errorf("the sample became %v, want 4 calls and 1 change of a trail", names)
	}
}
