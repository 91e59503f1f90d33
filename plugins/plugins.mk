# The Fluent Bit plugins, for inclusion by the Makefile.
#
#   plugins       build/in_kms.so and build/out_kms.so, for this machine's libc
#   plugins-test  builds both and a C host, and drives them as Fluent Bit does
#
# The names must not begin with flb-: Fluent Bit takes that for its C plugins.
# A C compiler is needed. Go's shared objects do not load on musl (Alpine).

GO ?= go

.PHONY: plugins plugins-test

plugins: build/in_kms.so build/out_kms.so

# Go knows best what changed; its build cache makes an unchanged one cheap.
.PHONY: build/in_kms.so build/out_kms.so
build/in_kms.so build/out_kms.so: build/%.so:
	CGO_ENABLED=1 $(GO) build -trimpath -buildmode=c-shared -o $@ ./plugins/$*

plugins-test:
	CGO_ENABLED=1 $(GO) test -count=1 -v ./plugins/plugintest
