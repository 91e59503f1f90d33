# The Fluent Bit plugins, for inclusion by the Makefile.
#
# The names must not begin with flb-: Fluent Bit takes that for its C plugins.
# A C compiler is needed. Go's shared objects do not load on musl (Alpine).

GO ?= go

FLUENT_BIT ?= fluent-bit

.PHONY: plugins plugins-test plugins-asan fluent-bit-test fluent-bit-bench

# Build both plugins into build/, for the libc of this machine.
plugins: build/in_kms.so build/out_kms.so

# Go knows best what changed; its build cache makes an unchanged one cheap.
.PHONY: build/in_kms.so build/out_kms.so
build/in_kms.so build/out_kms.so: build/%.so:
	CGO_ENABLED=1 $(GO) build -trimpath -buildmode=c-shared -o $@ ./plugins/$*

# Build the plugins and a C host, which drives them as Fluent Bit does.
plugins-test:
	CGO_ENABLED=1 $(GO) test -count=1 -v ./plugins/plugintest

# Do the same with everything built for the address sanitizer. It takes minutes.
plugins-asan:
	KEYTRAIL_ASAN=1 CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -v -run 'TestAddressSanitizer$$' ./plugins/plugintest

# Run both plugins in a real Fluent Bit with a real Kafka. It needs fluent-bit on PATH
# or in FLUENT_BIT, Java 17 and Maven; "make check" leaves it out.
fluent-bit-test:
	FLUENT_BIT=$(FLUENT_BIT) CGO_ENABLED=1 $(GO) test -count=1 -timeout 60m -v -run 'TestFluentBit$$' ./plugins/plugintest

# Measure both plugins beside the plugins tail and kafka of Fluent Bit.
fluent-bit-bench:
	FLUENT_BIT=$(FLUENT_BIT) FLUENT_BIT_SPEED=$(or $(FLUENT_BIT_SPEED),1) CGO_ENABLED=1 $(GO) test -count=1 -timeout 30m -v -run 'TestFluentBitSpeed$$' ./plugins/plugintest
