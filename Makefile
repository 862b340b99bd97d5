# Sluice: the targets a developer needs. `make help` lists them.
GO         ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.7.0
VULNCHECK   = golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME   ?= 30s
B          ?= .

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start the gateway for a try: loopback, random secrets, live page on port 8000
	$(GO) run . --dev

build: ## build ./bin/sluice
	$(GO) build -trimpath -o bin/sluice .

test: ## all tests but the long ones (under 5 minutes)
	$(GO) test -shuffle=on -timeout 10m ./...

check: fmt vet lint race ## what must hold before a commit: format, vet, lint, race detector

fmt: ## fail if gofmt would change a file
	@out="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet: ## go vet, for this system and for one without epoll
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	GOOS=darwin $(GO) vet ./...

lint: ## staticcheck
	$(GO) run $(STATICCHECK) -tags e2e ./...

race: ## the tests under the race detector
	$(GO) test -race -shuffle=on -timeout 15m ./...

e2e: ## the long tests: faults, fronts, engines, idles (under 25 minutes)
	$(GO) test -tags e2e -count=1 -timeout 25m -run '^TestLong' ./gateway/...

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg; \
	  done; \
	done

bench: ## Go benchmarks, ten runs each (B=regexp)
	$(GO) test -run '^$$' -bench '$(B)' -benchmem -count 10 ./...

tidy: ## go mod tidy
	$(GO) mod tidy

vuln: ## known vulnerabilities in what the build uses
	$(GO) run $(VULNCHECK) ./...

clean: ## remove what was built
	rm -rf bin

.PHONY: help run build test check fmt vet lint race e2e fuzz bench tidy vuln clean
