# Sluice: the targets a developer needs. `make help` lists them.
GO         ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.7.0
VULNCHECK   = golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME   ?= 30s
B          ?= .
D          ?= 30m
RESULTS    ?= bench/out
BEFORE     ?=
RATE       ?= 15000
LONG_REDIS  = '^TestLong(.*Redis|.*Cluster|.*Fleet)'

# $(call gotest,flags,packages) runs tests; on CI as .ci/gotest says.
ifdef CI
gotest = .ci/gotest $(1) $(2)
else
# The end-to-end tests first: they take the longest, and all others run beside them, two at once: tests mostly wait.
gotest = $(GO) test -p 3 $(1) $(patsubst ./...,./gateway/test ./...,$(2))
endif

.DEFAULT_GOAL := help

##@ To begin

help: ## list the targets
	@awk -F ':.*## ' '/^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nOne package or test: go test ./gateway/hub -run NAME. More: gateway/docs/develop.md\n'

# The server takes the place of the shell, so that Ctrl-C and SIGTERM end it in good order and make says nothing.
run: ## start the gateway for a try: loopback, random secrets, live page on port 8000
	@echo "building bin/sluice (the first time takes a minute or more) ..."
	@$(GO) build -o bin/sluice .
	@exec bin/sluice --dev

build: ## build ./bin/sluice
	$(GO) build -trimpath -o bin/sluice .

release: ## static programs, archives and Debian packages of this commit, for amd64 and arm64, into ./dist
	GO=$(GO) gateway/deploy/release dist

##@ Test

test: ## all tests but the long ones (under 5 minutes)
	$(call gotest,-shuffle=on -timeout 20m,./...)

race: ## the tests under the race detector
	$(call gotest,-race -shuffle=on -timeout 30m,./...)

# In two halves, for make -j2: those with Redis, which wait for it most of the time, and all others.
e2e: e2e-redis e2e-others ## the long tests: faults, bursts, storms, client libraries (under 25 minutes)

e2e-redis:
	$(call gotest,-tags e2e -count=1 -timeout 25m -run $(LONG_REDIS),./gateway/test)

e2e-others:
	$(call gotest,-tags e2e -count=1 -timeout 25m -run '^TestLong' -skip $(LONG_REDIS),./gateway/test)

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg; \
	  done; \
	done

##@ Check

check: fmt vet lint race ## what must hold before a commit: fmt, vet, lint, race

fmt: ## fail if gofmt would change a file
	@out="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet: ## go vet, for this system and for one without epoll
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	GOOS=darwin $(GO) vet ./...

lint: ## staticcheck
	$(GO) run $(STATICCHECK) -tags e2e ./...

vuln: ## known vulnerabilities in what the build uses
	$(GO) run $(VULNCHECK) ./...

##@ Measure

bench: ## every budget in short form, one table (7 minutes; writes RESULTS, bench/out)
	$(GO) run ./bench budgets -o $(RESULTS)/budgets.json

open: ## bursts in open loop, storms of resumes and connects, at full size (15 minutes)
	@failed=0; \
	$(GO) run ./bench open -streams 3000 -messages 400 -size 16384 -o bench/out/open-16k.json || failed=1; \
	$(GO) run ./bench open -streams 10000 -messages 2000 -size 150 -closed-messages 200 -o bench/out/open-small.json || failed=1; \
	$(GO) run ./bench open -streams 3000 -messages 20 -size 1048576 -o bench/out/open-1m.json || failed=1; \
	$(GO) run ./bench open -streams 3000 -messages 400 -size 16384 -stalled 10 -rounds 1 -o bench/out/open-stalled.json || failed=1; \
	$(GO) run ./bench open -streams 60 -messages 2000 -size 65536 -closed-messages 100 -trickle 200ms -settle 0 -o bench/out/open-trickle.json || failed=1; \
	$(GO) run ./bench recover -o bench/out/recover.json || failed=1; \
	$(GO) run ./bench storm -o bench/out/storm.json || failed=1; \
	exit $$failed

engine: ## nodes on Redis next to redis-benchmark and the memory engine (3 minutes; needs redis-server and redis-tools)
	$(GO) run ./bench engine -o $(RESULTS)/engine.json

jetstream: ## the engine on JetStream next to batches of the same size, lag, memory per channel (a minute)
	$(GO) run ./bench jetstream

connects: ## connects, idle connections, own channels and publishing next to nchan, and to BEFORE=bin/older (15 minutes)
	$(GO) run ./bench connect -peers nchan $(BEFORE:%=-before %) -o $(RESULTS)/connect.json
	$(GO) run ./bench storm $(BEFORE:%=-before %) -rounds 5 -late 0 -o $(RESULTS)/storm-closed.json
	$(GO) run ./bench storm $(BEFORE:%=-before %) -rounds 5 -late 0 -rate $(RATE) -o $(RESULTS)/storm-open.json
	$(GO) run ./bench idle $(BEFORE:%=-before %) -kinds keep-alive,api,silent,half-head,large-head -steps 2000,10000 -settle 5s -o $(RESULTS)/waiting.json
	$(GO) run ./bench idle $(BEFORE:%=-before %) -kinds tls -steps 2000,6000 -settle 5s -rounds 3 -o $(RESULTS)/idle-tls.json
	$(GO) run ./bench tls $(BEFORE:%=-before %) -o $(RESULTS)/tls.json
	$(GO) run ./bench channels -peers nchan $(BEFORE:%=-before %) -o $(RESULTS)/channels.json
	$(GO) run ./bench publish -peers nchan $(BEFORE:%=-before %) -o $(RESULTS)/publish.json

bench-fronts: ## lag through nginx, HAProxy, Caddy and Varnish next to none (3 minutes)
	$(GO) run ./bench fronts -o $(RESULTS)/fronts.json

soak: ## half the load for long: memory, files and goroutines stay flat (D=30m)
	$(GO) run ./bench soak -duration $(D) -o $(RESULTS)/soak.json

charts: ## measure next to nchan and draw pictures (20 minutes; RESULTS=bench/results for what is committed)
	for n in 100 300 1000 3000; do $(GO) run ./bench fan-out -peers nchan -streams $$n -o $(RESULTS)/fan-out-$$n.json || exit 1; done
	$(GO) run ./bench fan-out -peers nchan -pattern burst -messages 500 -o $(RESULTS)/burst.json
	$(GO) run ./bench fan-out -peers nchan -pattern paced -o $(RESULTS)/paced.json
	$(GO) run ./bench large -peers nchan -messages 100 -o $(RESULTS)/large.json
	$(GO) run ./bench channels -peers nchan -o $(RESULTS)/channels.json
	$(GO) run ./bench idle -peers nchan -steps 1000,5000,10000,15000 -settle 60s -o $(RESULTS)/idle.json
	$(GO) run ./bench connect -peers nchan -o $(RESULTS)/connect.json
	$(GO) run ./bench publish -peers nchan -o $(RESULTS)/publish.json
	$(GO) run ./bench report -dir $(RESULTS) $(RESULTS)/*.json

microbench: ## the Go benchmarks, ten runs each (B=regexp)
	$(GO) test -run '^$$' -bench '$(B)' -benchmem -count 10 ./...

##@ Keep in order

docs: ## rewrite the option reference, gateway/docs/options.md, from the code
	$(GO) run . configdoc --write gateway/docs/options.md

tidy: ## go mod tidy
	$(GO) mod tidy

clean: ## remove what was built
	rm -rf bin dist

.PHONY: help run build release test check fmt vet lint race e2e e2e-redis e2e-others fuzz bench open engine jetstream connects bench-fronts soak charts microbench docs tidy vuln clean
