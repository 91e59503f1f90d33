# What a developer and CI run. Everything that Go can fetch is fetched by Go;
# besides it the plugins need gcc.

GO ?= go
# Time for each fuzz target of "make fuzz".
FUZZTIME ?= 30s
# A pinned version, so that a new one brings no surprise.
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2

.NOTPARALLEL:
.PHONY: build test race integration chaos quality lint fuzz bench bench-stream bench-check microbench demo generate check clean

build:
	$(GO) build -o build/keytrail .

# The tests: everything, plugins and real subprocesses included.
test:
	$(GO) test ./...

# The packages in which goroutines meet.
race:
	$(GO) test -race -short ./processor/scan ./processor/sink/... ./processor/telemetry ./processor/kafka ./processor/stream \
		./plugins/internal/... ./processor/source/...

# The tests of all that speaks to Kafka, on a real one: scripts/kafka fetches it and
# starts a broker for each test. Needs Java 17 and Maven. And those of what reads from
# AWS, on moto, which scripts/moto fetches: they need Python 3 with venv.
integration:
	KEYTRAIL_AWS=real $(GO) test -count=1 -timeout 10m ./processor/source/... ./plugins/internal/input
	KEYTRAIL_AWS=real $(GO) test -count=1 -timeout 10m -run 'TestScanReadsS3' ./processor/cli
	KEYTRAIL_AWS=real KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 15m -run 'Faults' ./plugins/plugintest
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -parallel 2 ./processor/kafka ./processor/stream
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -parallel 2 -run 'TestRun|TestKcat' ./processor/cli
	KEYTRAIL_KAFKA=real $(GO) test -count=1 -timeout 20m -run TestSecurity ./plugins/internal/output

# Processes and brokers of a real Kafka are killed, suspended and started again while
# the records of a made-up trail are counted; then the final windows must be those of
# the offline oracle. The last line says so; the exit status is 1 when they are not.
SEED ?= 1
DURATION ?= 90s
chaos:
	$(GO) run ./processor/internal/chaos -seed $(SEED) -duration $(DURATION)

# How many planted incidents the detectors find and how many of their anomalies are
# about none, on made-up trails of 35 days, in about five minutes: docs/quality.md,
# which it writes. "go run ./processor/internal/quality -seeds 1,2 -explain" tells
# where they fail, on trails for training.
QUALITY ?= -seeds 101,102,103
quality:
	$(GO) run ./processor/internal/quality $(QUALITY) -o docs/quality.md

lint:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Every fuzz target, one after another. A finding is kept below testdata/fuzz.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
		done; \
	done
	$(GO) -C bench test -run '^$$' -fuzz FuzzPdata -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .

# The speed of decoding and normalizing beside encoding/json and others, in about
# three minutes: bench/README.md. libdeflate is C, and measured where it is installed.
bench:
	$(GO) -C bench run $(if $(shell pkg-config --exists libdeflate 2>/dev/null && echo yes),-tags libdeflate) .

# What stages count and detect cost on a real Kafka, beside Kafka Streams and others,
# in five to ten minutes: bench/README.md. Needs Java 17 and Maven. A quick look:
#   make bench-stream STREAM="-events 20000 -entities 10000 -latency 5s"
STREAM ?=
bench-stream:
	$(GO) -C bench run ./stream $(STREAM)

# bench/ is a module of its own, which ./... does not reach. When go.mod has
# changed, "go -C bench mod tidy" makes its go.sum complete again.
bench-check:
	$(GO) -C bench vet ./...
	$(GO) -C bench test ./...

# Every package's own benchmarks.
microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

demo:
	$(GO) run . demo

generate:
	$(GO) generate ./schemas/...

# What CI runs; the tests come last, so that their summary ends the output.
check: lint build plugins race bench-check integration chaos test

clean:
	rm -rf build

include plugins/plugins.mk
