# What there is to do here. `make` alone lists it.
# The recipes are short on purpose: what takes more than a line or two is a script in scripts/.

FUZZTIME ?= 10s
GO       ?= go

# The packages that decide and do no I/O; tidy_test.go has them too. They build for the browser.
CORE = ./crypto/... ./fec/... ./rtmpchunk/... ./transport/... ./bench/netem/...

LINT = $(GO) tool -modfile=tools/go.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help build test race lint fmt fuzz wasm ffmpeg web browser firefox kills worlds soak load compare demo clip check long

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the program, as ./duet
	$(GO) build -trimpath -o duet ./cmd/duet

test: ## vet and all tests
	$(GO) vet ./...
	$(GO) test ./...

race: ## all tests under the race detector
	$(GO) test -race ./...

lint: ## golangci-lint, built from tools/go.mod; the first time takes a minute or two
	$(LINT) run ./...

fmt: ## gofmt over everything
	gofmt -w .

fuzz: ## every fuzz target for FUZZTIME (10s)
	scripts/fuzz.sh $(FUZZTIME)

wasm: ## core packages build for the browser
	GOOS=js GOARCH=wasm $(GO) build $(CORE)

ffmpeg: ## the tests that need ffmpeg
	$(GO) test -count=1 -tags ffmpeg ./gateway/... ./cmd/duet/...

web: ## the wasm of the browser SDK anew; needs node
	web/build.sh

browser: ## the SDK and the pages in Chromium; needs node, Chromium and ffmpeg. About three minutes
	web/build.sh --check
	cd web/e2e && npm ci --silent --no-audit --no-fund && npm run -s types && npm run -s unit
	cd web/e2e && npm run -s pages && npm run -s vectors && npm run -s others
	cd web/e2e && node --test --test-concurrency=1 --test-name-pattern="over a WebSocket|blocked from the beginning|server restarts|expired" sdk.js

firefox: ## calls in Firefox, and with Chromium; needs node, firefox-esr, Chromium, PulseAudio and ffmpeg
	cd web/e2e && npm ci --silent --no-audit --no-fund && npm run -s firefox

kills: ## servers are killed in mid-call, and while 2,000 callers race for agents; about a minute
	DUET_CALLERS=2000 DUET_KILLS=20 DUET_RECORD_KILLS=5 $(GO) test -count=1 -v -run 'TestServerKilled|TestCrowd|TestRecordingsKilled' ./cmd/duet

worlds: ## 200 random worlds of a relay, held to its laws
	DUET_WORLDS=200 $(GO) test -count=1 -run TestWorlds ./relay

soak: ## calls begin and end for a minute, and nothing is left of them; with the waits three and a half minutes
	$(GO) run ./cmd/duet bench soak --duration 60s

load: ## what the relay costs, beside an ideal loop in the same run (docs/performance.md)
	for load in "--fanout 1" "--fanout 10" "--fanout 100"; do $(GO) run ./cmd/duet bench load $$load --bitrate 1500000 --audio 0 --floor || exit 1; done
	for calls in 1 50 100; do $(GO) run ./cmd/duet bench load --calls $$calls --floor || exit 1; done

compare: ## the same frames through other protocols beside ours, in short; about 90 s
	$(GO) run -C bench/compare . --quick --loss 10 --require duet-first

demo: ## a call on this machine, from end to end
	$(GO) run ./cmd/duet demo

clip: ## the demo's clip anew; needs ffmpeg with libx264
	scripts/make-clip.sh

check: ## everything that has to pass before a change goes in
	.ci/run

long: ## what is too long for every change: figures of transport and signaling, the ffmpeg tests on a minute of video, fuzzing for 5 minutes a target
	for loss in 0 0.02 0.05 0.1 0.2; do $(GO) run ./cmd/duet bench link --loss $$loss --duration 300s || exit 1; done
	$(GO) run ./cmd/duet bench rmcat
	DUET_COST=1 $(GO) test -count=1 -v -run TestCost ./relay
	$(GO) test -count=1 -v -run 'TestFirstFrame|TestTwoHops|TestLossStep|TestOutageOfASecond|TestThinning' ./relay
	DUET_LONG=1 $(GO) test -count=1 -timeout=20m -v -run 'TestRace|TestKilled|TestGhosts' ./signaling/...
	DUET_LONG=1 $(GO) test -count=1 -v -run TestPowerCut ./record
	DUET_CALLERS=10000 DUET_KILLS=200 $(GO) test -count=1 -timeout=20m -v -run 'TestServerKilled|TestCrowd' ./cmd/duet
	DUET_RECORD_KILLS=50 $(GO) test -count=1 -timeout=20m -v -run TestRecordingsKilled ./cmd/duet
	$(GO) run ./cmd/duet bench signaling
	$(MAKE) -s load
	$(GO) run ./cmd/duet bench soak --duration 10m
	DUET_WORLDS=10000 $(GO) test -count=1 -timeout=60m -run TestWorlds ./relay
	$(GO) run -C bench/compare .
	DUET_LONG=1 $(GO) test -count=1 -timeout=60m -tags ffmpeg ./gateway/... ./cmd/duet/...
	$(MAKE) fuzz FUZZTIME=5m
