# Two commands do everything on a machine that has Go and git:
#   make dev    the whole site on loopback
#   make test   installs what the tests need, then runs them
GO      ?= go
TAGS    := gms_pure_go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := CGO_ENABLED=0 $(GO) build -tags $(TAGS) -ldflags '$(LDFLAGS)'

.PHONY: build dev test test-full bench package tools generate clean

build: dist/stack

# go build knows best whether anything changed.
.PHONY: dist/stack
dist/stack:
	$(BUILD) -o dist/stack ./cmd/stack

dev: dist/stack
	./dist/stack dev

# tools installs the real peers that tests and benchmarks run against.
tools:
	./packaging/install-tools.sh

test: tools dist/stack
	./packaging/test.sh

test-full: tools dist/stack
	./packaging/test.sh full

bench: tools dist/stack
	CGO_ENABLED=0 $(GO) run -tags $(TAGS) ./bench

package: dist/stack
	VERSION=$(VERSION) ./packaging/build.sh

# generate rewrites the pages that are made from the code.
generate:
	CGO_ENABLED=0 $(GO) test -tags $(TAGS) ./appliance/config ./firewall -rewrite

clean:
	rm -rf dist .stack
