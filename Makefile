# Targets for developers and CI; "make help" lists them. Go fetches all Go dependencies.
# The plugins and the race detector need gcc as well.

GO ?= go
# Time for each fuzz target of "make fuzz".
FUZZTIME ?= 30s
# The pinned version of staticcheck.
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

.NOTPARALLEL:
.PHONY: help build test quick race integration compose-test integration-all chaos chaos-sinks upgrade-test chart soak changed quality page page-test lint fuzz bench bench-sinks bench-stream bench-check microbench demo \
	generate man check clean

# List the targets: each one with the first sentence of the comment above it.
help:
	@awk '/^# / { text = text (text ? " " : "") substr($$0, 3); next } \
		/^[a-z][a-z-]*:/ && text { sub(/:.*/, ""); sub(/[.:;] .*/, ".", text); printf "  %-18s %s\n", $$0, text } \
		{ text = "" }' $(MAKEFILE_LIST)

# Build the command into build/keytrail.
build:
	$(GO) build -o build/keytrail .

# Run all tests, including those of the plugins and of real subprocesses.
test:
	$(GO) test ./...

# Run the short tests of changed packages and of their dependents. It takes under a
# minute when the build cache is warm.
quick:
	@GO="$(GO)" scripts/quick

# Run the race detector over the packages in which goroutines meet. The simulations of
# stream run in one goroutine and are left out.
race:
	$(GO) test -race -short -timeout 20m -skip '^TestSimulat' ./processor/scan ./processor/sink/... ./processor/telemetry \
		./processor/kafka ./processor/stream ./plugins/internal/... ./processor/source/...

# Run the tests of Kafka, AWS and SIEM clients against Apache Kafka, moto and OpenSearch.
# scripts/kafka and scripts/opensearch fetch them and start one per test: they need a
# JDK 17 and Maven. scripts/moto fetches moto: it needs Python 3 with venv. Receivers of
# sinks come from scripts/collector and scripts/syslogd, and promtool from scripts/promtool,
# which take Debian's packages.
integration:
	KEYTRAIL_PROMTOOL=real $(GO) test -count=1 -run Promtool ./deploy/deploytest
	KEYTRAIL_OPENSEARCH=real $(GO) test -count=1 -timeout 20m -run OpenSearch ./processor/scan ./processor/internal/opensearch \
		./processor/sink/search ./processor/cli
	KEYTRAIL_AWS=real $(GO) test -count=1 -timeout 10m ./processor/source/... ./processor/sink/s3 ./processor/sink/sns \
		./processor/sink/sqs ./plugins/internal/input
	KEYTRAIL_AWS=real $(GO) test -count=1 -timeout 10m -run 'TestScanReadsS3|TestRunSourceAWS' ./processor/cli
	KEYTRAIL_AWS=real KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 15m -run 'Faults' ./plugins/plugintest
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 30m -parallel 2 -skip "^TestSimulat" ./processor/kafka ./processor/stream \
		./processor/sink/kafka ./processor/deadletter
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -parallel 2 -run 'TestRun|TestKcat' ./processor/cli
	KEYTRAIL_RECEIVERS=real $(GO) test -count=1 -timeout 20m -run Real ./processor/sink/otlphttp ./processor/sink/splunkhec ./processor/sink/syslog
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -run TestSecurity ./plugins/internal/output

# Run integration, the commands with one of three brokers down, and the tests against receivers
# that take long to build: Alertmanager, Loki and VictoriaLogs (scripts/receiver). CI runs
# integration alone.
integration-all: integration
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -run TestBrokerDown ./processor/cli
	KEYTRAIL_RECEIVERS=real $(GO) test -count=1 -timeout 60m -v -run '^TestAll[A-Z]' ./processor/sink/webhook ./processor/sink/all

# Run docker-compose.yml in a new container engine and check docs/compose.md: attacks
# are found, killed services come back, nothing is lost. It needs root on Debian, and takes
# half an hour. FLUENT_BIT=/path/to/fluent-bit includes Fluent Bit.
compose-test:
	FLUENT_BIT=$(filter-out fluent-bit,$(FLUENT_BIT)) scripts/compose-test

SEED ?= 1
# Kill, suspend and restart processors and brokers of a real Kafka while they count. The
# final windows of the synthetic trail must then equal those of the offline oracle. The
# last line reports it; the exit status is 1 when they differ.
chaos: DURATION = 90s
chaos:
	$(GO) run ./processor/internal/chaos -seed $(SEED) -duration $(DURATION)

# Do the same with a real OpenSearch, syslog-ng and a stand-in for Splunk behind it. Every
# anomaly and final window must be in each of them. "make chaos-sinks DURATION=20m" takes
# longer; CI runs it when the sinks have changed (scripts/changed).
chaos-sinks: DURATION = 3m
chaos-sinks:
	$(GO) run ./processor/internal/chaossinks -seed $(SEED) -duration $(DURATION)
	@scripts/changed --passed $@

# The commit from which "make upgrade-test" upgrades: the last one to compare with. Move it
# with each release, and after each change of wire.FormatVersion.
UPGRADE_FROM ?= fa4e84116fdc

# Replace processes of an earlier commit by those of this tree, one after the other, and
# back, while calls arrive. CI runs it when the stages or their formats have changed
# (scripts/changed). It needs the commit in the repository.
upgrade-test:
	KEYTRAIL_UPGRADE_FROM=$(UPGRADE_FROM) $(GO) test -count=1 -timeout 20m -run '^TestUpgrade$$' -v ./processor/cli
	@scripts/changed --passed $@

# Render the Helm chart over several values and check the manifests against Kubernetes'
# schemas and Pod Security, without a cluster. CI runs it when the chart has changed
# (scripts/changed).
chart:
	$(GO) -C deploy/charttest vet ./...
	$(GO) -C deploy/charttest test -count=1 ./...
	@scripts/changed --passed $@

SOAK ?=
# Send 1,000 events a second to one process with all stages, on a real Kafka, and judge
# whether memory, goroutines, descriptors or lag still grow once the horizon is full. "make
# soak DURATION=2h" has time for that; with SOAK="-lateness 5m -disorder 2m", 50m suffice.
soak: DURATION = 2h
soak:
	$(GO) run ./processor/internal/soak -duration $(DURATION) $(SOAK)

# Run the slow targets whose paths have changed since they last passed.
changed:
	@set -e; for target in $$(scripts/changed); do $(MAKE) $$target; done

QUALITY ?= -seeds 101,102,103
# Measure recall and false anomalies on labelled trails and write docs/quality.md. It
# takes about a quarter of an hour. "go run ./processor/internal/quality -seeds 1,2 -explain"
# lists the misses and false anomalies on training trails.
quality:
	$(GO) run ./processor/internal/quality $(QUALITY) -o docs/quality.md

# Build the page from processor/web/ui. It needs Node 20; the built files are committed, so
# no other target does.
page:
	scripts/page build

THEMES ?=
# Use the page in headless Chromium: every view, with the mouse and with keys, with hostile
# records, with axe, and in two themes (THEMES=light for one). It needs Node 20 and Chromium
# and takes a minute. IMAGES=docs/img renews the pictures. CI runs it when the page has
# changed (scripts/changed).
page-test:
	scripts/page test $(THEMES)
	@scripts/changed --passed $@

# Check formatting, vet, and run staticcheck.
lint:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Run every fuzz target for FUZZTIME, one after another. Findings go to testdata/fuzz.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done
	$(GO) -C bench test -run '^$$' -fuzz FuzzPdata -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .

# Compare decoding and normalizing with encoding/json and other libraries. It takes
# about three minutes (bench/README.md). libdeflate is measured where it is installed.
bench:
	$(GO) -C bench run $(if $(shell pkg-config --exists libdeflate 2>/dev/null && echo yes),-tags libdeflate) .

SINKS ?=
# Measure what each sink costs per record, beside the collector's exporters, and how long it
# takes to catch up after an outage. It takes about five minutes and needs Java 17 and Maven
# (bench/README.md). A quick look without Kafka:
#   make bench-sinks SINKS="-records 5000 -rounds 1 -outage 0"
bench-sinks:
	$(GO) -C bench run ./sinks $(SINKS)

STREAM ?=
# Compare stages count and detect on a real Kafka with Kafka Streams and others. It
# takes five to ten minutes and needs Java 17 and Maven (bench/README.md). A quick look:
#   make bench-stream STREAM="-events 20000 -entities 10000 -latency 5s"
bench-stream:
	$(GO) -C bench run ./stream $(STREAM)

# Check the module of bench, which the other targets do not cover. After a change of go.mod,
# "go -C bench mod tidy" completes its go.sum.
bench-check:
	$(GO) -C bench vet ./...
	$(GO) -C bench test ./...

# Run the benchmarks of every package.
microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Run the demo.
demo:
	$(GO) run . demo

# Generate code, JSON Schemas and tables from schemas/registry, and docs/cli.md.
generate:
	$(GO) generate ./schemas/... ./processor/cli

# Write the man pages into build/man.
man: build
	build/keytrail docs man build/man

# Run what CI runs. The tests come last, so that their summary ends the output.
check: lint build plugins race bench-check integration chaos changed test

# Delete build/.
clean:
	rm -rf build

include plugins/plugins.mk
