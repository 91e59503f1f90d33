# The Fluent Bit plugins, for inclusion by the Makefile.
#
#   plugins           build/in_kms.so and build/out_kms.so, for this machine's libc
#   plugins-test      builds both and a C host, and drives them as Fluent Bit does
#   plugins-asan      the same with all built for the address sanitizer: takes minutes
#   fluent-bit-test   drives both in a real Fluent Bit (fluent-bit on PATH, or
#                     FLUENT_BIT) with a real Kafka (Java 17, Maven); not in "make check"
#   fluent-bit-bench  measures them beside Fluent Bit's own tail and kafka
#
# The names must not begin with flb-: Fluent Bit takes that for its C plugins.
# A C compiler is needed. Go's shared objects do not load on musl (Alpine).

GO ?= go

FLUENT_BIT ?= fluent-bit

.PHONY: plugins plugins-test plugins-asan fluent-bit-test fluent-bit-bench

plugins: build/in_kms.so build/out_kms.so

# Go knows best what changed; its build cache makes an unchanged one cheap.
.PHONY: build/in_kms.so build/out_kms.so
build/in_kms.so build/out_kms.so: build/%.so:
	CGO_ENABLED=1 $(GO) build -trimpath -buildmode=c-shared -o $@ ./plugins/$*

plugins-test:
	CGO_ENABLED=1 $(GO) test -count=1 -v ./plugins/plugintest

plugins-asan:
	KEYTRAIL_ASAN=1 CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -v -run 'TestAddressSanitizer$$' ./plugins/plugintest

fluent-bit-test:
	FLUENT_BIT=$(FLUENT_BIT) CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -v -run 'TestFluentBit$$' ./plugins/plugintest

fluent-bit-bench:
	FLUENT_BIT=$(FLUENT_BIT) FLUENT_BIT_SPEED=1 CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -v -run 'TestFluentBitSpeed$$' ./plugins/plugintest
