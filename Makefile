# Everything a developer runs, by name. `make help` lists it; CI runs the same targets.
SHELL := /bin/bash
GO ?= go
# Build tags: otel sends traces, and makes the program larger (docs/decisions/0023-traces-behind-a-build-tag.md).
TAGS ?=
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -tags "$(TAGS)" -ldflags "-s -w"
# How long each fuzz target runs under make fuzz.
FUZZTIME ?= 20s

.DEFAULT_GOAL := help
.PHONY: help build test oracle demo lab-full race lint fuzz gen bench check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

build: ## bin/ingot and bin/ingot-agent, static
	$(BUILD) -o bin/ingot ./cmd/ingot
	$(BUILD) -o bin/ingot-agent ./cmd/ingot-agent

test: ## unit tests, CLI scripts and, as root, the lab's end-to-end tests (installs what it needs)
	scripts/test.sh

oracle: build ## the same requests to Debian's Ironic and to ours, compared (installs Ironic)
	scripts/oracle.sh

demo: ## a bare machine becomes a running server and is erased again, before your eyes (root)
	scripts/demo.sh

lab-full: ## every lab test, the slow ones too (root)
	INGOT_LAB_FULL=1 scripts/test.sh --lab-only

race: ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## golangci-lint, gosec among its linters, where it can be had
	scripts/lint.sh

fuzz: ## each fuzz target for FUZZTIME (20s)
	scripts/fuzz.sh $(FUZZTIME)

gen: ## write the generated documents anew
	scripts/gen.sh

bench: build ## image writing against dd and qemu-img; requests per second of the API; 10,000 polled agents; 10,000 instances that ask for metadata (or those of BENCH)
	scripts/bench.sh $(BENCH)

check: ## formatting, vet, golangci-lint, fresh documents, who imports whom, known vulnerabilities
	scripts/check.sh

clean: ## remove what was built; caches and data stay
	rm -rf bin
