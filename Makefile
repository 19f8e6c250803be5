# The checks of this project, one by one; .ci/run runs all of them. No target needs
# root or installs system packages: a test that needs a missing program is skipped,
# and fails in `make full`. Tools come from the Go module proxy and go into bin/.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

BIN      ?= $(CURDIR)/bin
OUTPUT   ?= $(BIN)/vaultserver
TARGETS  := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
FUZZTIME ?= 5s

# GOFLAGS for code that is compiled only to be checked. It saves a third of the time.
UNOPTIMIZED := '-gcflags=all=-N -l -dwarf=false'

# The root module first, then those nested under internal/.
MODULES := $(sort $(patsubst %/,%,$(dir $(shell git ls-files 'go.mod' '*/go.mod'))))
# flags is the GOFLAGS for a module. It is the same in every target, so that the module
# is compiled only once.
flags = $(if $(filter internal/vaultserver,$(1)),$(UNOPTIMIZED))

.NOTPARALLEL:

help: ## list the targets
	@sed -nE 's/^([a-z]+):.* ## (.*)/\1\t\2/p' Makefile | expand -t 14

test: ## run the tests that need only Go
	go test ./...

LINTS := $(addprefix lint-,$(MODULES))
lint: format tools $(LINTS) ## gofmt, go vet, staticcheck and golangci-lint in each module

$(LINTS): lint-%:
	@echo "vet, staticcheck and golangci-lint in $*"
	@cd $* && export GOFLAGS="$(call flags,$*)" && \
		go mod verify >/dev/null && go mod tidy -diff && \
		go vet ./... && $(BIN)/staticcheck ./... && \
		$(BIN)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...

format: ## fail if gofmt would change a file
	@files=$$(gofmt -l $$(git ls-files '*.go')); \
		[ -z "$$files" ] || { echo "gofmt would change: $$files"; exit 1; }

tools: ## install the linters into bin/
	@GOBIN=$(BIN) go install $(STATICCHECK)
	@GOBIN=$(BIN) GOFLAGS="$(UNOPTIMIZED)" go install $(GOLANGCI)

# go vet reads all files, tests included, and compiles every package that another one
# imports; go build adds the programs. The other targets cover this machine's system,
# since no package of the module uses cgo.
cross: ## go vet and go build for each system
	@for target in $(filter-out $(shell go env GOHOSTOS)/$(shell go env GOHOSTARCH),$(TARGETS)); do \
		echo "vet and build for $$target"; \
		export CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} GOFLAGS="$(UNOPTIMIZED)"; \
		go vet ./... && go build ./... || exit 1; \
	done

vuln: ## look for known vulnerabilities, if their database can be reached
	@.ci/vuln $(GOVULNCHECK)

race: ## run the tests under the race detector, shuffled
	go test -vet=off -race -shuffle=on ./...

fips: ## test keyring and vault in strict FIPS 140-3 mode
	GODEBUG=fips140=only go test -vet=off ./keyring/... ./vault/...

NESTED := $(addprefix test-,$(filter-out .,$(MODULES)))
nested: $(NESTED) ## test the modules under internal/, and run each of their benchmarks once

$(NESTED): test-%:
	@cd $* && GOFLAGS="$(call flags,$*)" go test -vet=off -bench . -benchtime 1x ./...

vaultserver: ## build the HashiCorp Vault server of the tests as OUTPUT
	@cd internal/vaultserver && GOFLAGS="$(UNOPTIMIZED)" go build -o $(abspath $(OUTPUT)) .

fuzz: ## run each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

bench: ## run the benchmarks
	go test -vet=off -run '^$$' -bench . ./...

full: ## run all tests in full size and each benchmark once; a skipped test is a failure
	@.ci/full

api: ## write api.txt, the list of the exported API
	go run ./internal/apisnapshot

.PHONY: help test lint format tools cross vuln race fips nested vaultserver fuzz bench full api $(LINTS) $(NESTED)
