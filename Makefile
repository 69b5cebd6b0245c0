# metrics-gateway: `make run` shows it working, `make test` proves it.
SHELL := /usr/bin/env bash -o pipefail
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0

CLUSTER  ?= local
NODES    ?= 0
PODS     ?= 30
FUZZTIME ?= 30s
COUNT    ?= 10
# What deploy/kustomize runs; the local image carries the same name, so that the manifests apply unchanged.
IMAGE    ?= $(shell sed -n 's/^ *image: *//p' deploy/kustomize/base/deployment.yaml | head -n 1)
# The race detector needs cgo and a C compiler.
GOTEST   := CGO_ENABLED=1 go test -race -shuffle=on
TOOL     := go tool -modfile
GOLANGCI := $(TOOL)=hack/tools/golangci-lint/go.mod golangci-lint

##@ The two commands

.PHONY: run
run: ## Boot a real cluster here, run metrics-gateway on it and show kubectl top, until Ctrl-C (NODES=50 adds simulated nodes; CLUSTER=existing uses $KUBECONFIG)
	@go run ./hack/cluster up --cluster=$(CLUSTER) --nodes=$(NODES)

.PHONY: test
test: test-unit fuzz test-integration test-e2e ## Everything: unit tests, fuzzing, integration against a real API server, end to end on a real node

##@ Build

.PHONY: build
build: ## Build bin/metrics-gateway (static)
	go run ./hack/build -o bin/metrics-gateway

.PHONY: image
image: build ## Pack bin/metrics-gateway.tar, an image that `ctr images import` and `docker load` take
	go run ./hack/image --binary bin/metrics-gateway --name $(IMAGE) --output bin/metrics-gateway.tar

.PHONY: generate
generate: ## Regenerate what is generated
	go generate ./...

.PHONY: clean
clean: ## Remove build output and whatever a killed local cluster left over
	rm -rf bin
	go run ./hack/cluster down

##@ Test

.PHONY: test-unit
test-unit: ## Unit tests, with the race detector
	$(GOTEST) $$(go list ./... | grep -v /test/)

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (default 30s)
	hack/verify/fuzz.sh $(FUZZTIME)

.PHONY: test-integration
test-integration: ## Integration tests against a real etcd and kube-apiserver
	assets=$$(go run ./hack/cluster tools) && KUBEBUILDER_ASSETS=$$assets $(GOTEST) -timeout=20m ./test/integration/...

.PHONY: test-e2e
test-e2e: ## End-to-end tests on the local cluster: a real node and 50 simulated ones
	go run ./hack/cluster exec --nodes=50 --pods-per-node=1 --images=prometheus,web,statemetrics,node-exporter -- env CGO_ENABLED=0 METRICS_GATEWAY_E2E=true go test -count=1 -v -timeout=30m ./test/e2e/...

.PHONY: bench-go
bench-go: ## Go benchmarks of the hot paths, COUNT times, in what benchstat reads
	go test -run='^$$' -bench=. -benchmem -count=$(COUNT) ./pkg/... ./cmd/...

.PHONY: benchmarks-update
benchmarks-update: ## Make what the Go benchmarks allocate now the limit of verify-allocations
	go run ./hack/verify/allocations -update

.PHONY: bench
bench: bench-kubelets bench-hpas ## What the gateway costs with NODES=1000 kubelets of PODS=30 pods, and with HPAS=1000 autoscalers (docs/performance.md)

.PHONY: bench-kubelets
bench-kubelets: ## What metrics.k8s.io costs with NODES=1000 kubelets of PODS=30 pods, beside METRICS_SERVER=/path/to/it if given
	assets=$$(go run ./hack/cluster tools) && KUBEBUILDER_ASSETS=$$assets \
		go run ./hack/bench kubelets --nodes=$(if $(filter-out 0,$(NODES)),$(NODES),1000) --pods=$(PODS)

.PHONY: bench-hpas
bench-hpas: ## What custom.metrics.k8s.io costs with HPAS=1000 autoscalers, beside PROMETHEUS_ADAPTER=/path/to/it if given
	assets=$$(go run ./hack/cluster tools) && prometheus=$$(go run ./hack/cluster tools prometheus) && \
		KUBEBUILDER_ASSETS=$$assets go run ./hack/bench hpas --prometheus=$$prometheus/prometheus

.PHONY: bench-discovery
bench-discovery: ## What it costs to know the metrics of a Prometheus with 450,000 series (docs/performance.md)
	assets=$$(go run ./hack/cluster tools) && prometheus=$$(go run ./hack/cluster tools prometheus) && \
		KUBEBUILDER_ASSETS=$$assets go run ./hack/bench discovery --prometheus=$$prometheus/prometheus

##@ Verify

.PHONY: verify
verify: verify-format verify-lint verify-modules verify-generated verify-allocations verify-vulnerabilities ## What CI runs beside the tests

.PHONY: verify-format
verify-format: ## gofmt and goimports would change nothing
	$(GOLANGCI) fmt --diff ./...

.PHONY: verify-lint
verify-lint: ## go vet and golangci-lint find nothing
	go vet ./...
	$(GOLANGCI) run ./...

.PHONY: verify-modules
verify-modules: ## Every go.mod is tidy
	hack/verify/modules.sh

.PHONY: verify-generated
verify-generated: ## Generated files are up to date
	hack/verify/generated.sh

.PHONY: verify-allocations
verify-allocations: ## The Go benchmarks of the hot paths allocate no more than hack/verify/allocations.txt says
	go run ./hack/verify/allocations

.PHONY: verify-vulnerabilities
verify-vulnerabilities: ## govulncheck finds no vulnerability that is reached
	hack/verify/vulnerabilities.sh

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
