# Banter. `make demo` and `make test` are all that a fresh machine needs; both say what they install.

SHELL := /bin/sh
GO    ?= go
# Names of files that make up the programs: a build is asked for only when one of them changed.
SOURCES := $(shell find cmd dsl stdlib kernel internal -name '*.go' -o -name '*.s' 2>/dev/null) go.mod go.sum
ECHARTS := stdlib/chart/assets/echarts.min.js.gz
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help demo test test-race lint bench bench-align bench-kernel bench-train bench-generate clean-root native lab lab-venv notebooks browser build generate clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: build ## run the main job on the shipped streams and write out/demo/report.html
	@bin/recipe run recipes/v1.go --out out/demo
	@echo "open out/demo/report.html; next: make lab, or recipes/v1.go on your own streams: see README.md"

build: native bin/recipe ## build bin/recipe and bin/banter-engine

bin/recipe: $(SOURCES) | $(ECHARTS)
	CGO_ENABLED=0 $(GO) build -o $@ ./cmd/recipe

# Live charts need ECharts, which npm brings. Without npm the charts are static pictures: that is said, and is no error.
$(ECHARTS):
	@if command -v npm >/dev/null; then echo "fetching ECharts from npm for live charts"; $(GO) run ./stdlib/chart/fetch $@ || echo "ECharts could not be fetched: charts will be static"; \
	else echo "npm is not installed: charts will be static"; fi

native: ## build bin/banter-engine on whisper.cpp and llama.cpp, which are installed for it where they are missing
	@sh native/make.sh

test: build ## run all tests
	BANTER_REQUIRE_ENGINE=1 $(GO) test -timeout 20m ./...

test-race: native ## run the tests of what is concurrent under the race detector
	$(GO) test -race -short -timeout 30m ./dsl/... ./internal/worker/... ./internal/gemm/... ./kernel/cell ./kernel/wire ./kernel/session ./kernel/install ./stdlib/eval ./stdlib/quality ./stdlib/speech ./stdlib/train ./stdlib/train/torch

lint: ## gofmt, go vet, staticcheck, and that generated files are fresh
	@bad=$$(gofmt -l cmd dsl stdlib kernel internal recipes); if [ -n "$$bad" ]; then echo "not gofmt'ed: $$bad"; exit 1; fi
	CGO_ENABLED=0 $(GO) vet $$($(GO) list ./... | grep -v cmd/banter-engine)
	CGO_ENABLED=0 $(GO) run $(STATICCHECK) $$($(GO) list ./... | grep -v cmd/banter-engine)
	for os in windows darwin; do GOOS=$$os CGO_ENABLED=0 $(GO) vet ./cmd/recipe || exit 1; GOOS=$$os CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/recipe || exit 1; done
	$(GO) run ./internal/sourcedigest -check
	$(GO) run ./internal/symbols/gen -check

generate: ## write generated files anew
	$(GO) generate ./dsl ./internal/symbols

bench: build ## Go benchmarks of all packages
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-align: ## score alignment against baselines; STREAMS=DIR scores a folder of labelled streams
	$(GO) run ./cmd/bench-align $(if $(STREAMS),-streams '$(STREAMS)')

bench-kernel: build lab-venv ## measure this kernel and ipykernel in one run
	$(GO) run ./cmd/bench-kernel

bench-train: ## measure training against torch and peft in one run
	$(GO) run ./cmd/bench-train

lab: build ## open notebooks/ in JupyterLab with the kernel installed
	sh kernel/lab/lab.sh

lab-venv: build ## set up the private virtual environment of JupyterLab, and install the kernel into it
	sh kernel/lab/lab.sh setup

notebooks: lab-venv ## run all notebooks and save them with their outputs
	.venv/bin/python kernel/lab/execute.py --save notebooks/*.ipynb

browser: lab-venv ## drive JupyterLab in a headless Chromium: the kernel, all displays, the notebooks; screenshots go to out/browser
	sh kernel/lab/browser/run.sh

clean-root: build ## freeze each notebook and run it in a root directory of its own, without a network, to the same bytes (as root, minutes)
	BANTER_REQUIRE_ENGINE=1 BANTER_CLEAN_ROOT=words $(GO) test -count=1 -timeout 60m -run TestNotebooksInACleanRoot -v ./cmd/recipe

bench-generate: build ## measure generation against llama.cpp in one run
	$(GO) test -run '^$$' -bench Generation -benchtime 11x -timeout 60m ./stdlib/lm/llama

clean: ## remove what was built and run, but not .native and .venv
	rm -rf bin out .banter $(ECHARTS)
