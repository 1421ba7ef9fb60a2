# SPDX-FileCopyrightText: 2026 The muontrap authors
# SPDX-License-Identifier: Apache-2.0

BIN := muontrap
PREFIX := /usr/local
FUZZTIME := 20s
# What --version tells.
VERSION ?= $(shell git describe --tags --dirty 2>/dev/null || echo unreleased)
COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
SUPERVISOR := github.com/muontrap/muontrap/internal/supervisor
export CGO_ENABLED := 0

# What spares 60 kB, where Go still has it: the collector of before, as none ever runs here, and the new one has a page more for each
# size of objects; and a heap in its usual place, as without C there is nothing to be protected from.
LEAN = $(shell for x in nogreenteagc norandomizedheapbase64; do GOEXPERIMENT=$$x go env GOEXPERIMENT 2>/dev/null; done | paste -sd, -)

# Makes the static, reproducible binary, with a Go runtime of one thread (scripts/runtime).
.PHONY: build
build:
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && overlay=$$(scripts/runtime "$$dir") && \
	GOEXPERIMENT=$(LEAN) go build $${overlay:+"$$overlay"} -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X $(SUPERVISOR).version=$(VERSION) -X $(SUPERVISOR).commit=$(COMMIT)' -o $(BIN) ./cmd/muontrap

# Installs the binary and its manual page below PREFIX; or, with MIX_APP_PATH=.../_build/dev/lib/muontrap, the binary where the
# Elixir library looks for it. DESTDIR comes before either. GOOS, GOARCH and GOARM say for which system, as always in Go.
.PHONY: install
install:
	$(MAKE) build BIN=dist/install/muontrap
ifdef MIX_APP_PATH
	install -d "$(DESTDIR)$(MIX_APP_PATH)/priv"
	install dist/install/muontrap "$(DESTDIR)$(MIX_APP_PATH)/priv/muontrap"
else
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man1"
	install dist/install/muontrap "$(DESTDIR)$(PREFIX)/bin/muontrap"
	install -m 644 docs/muontrap.1 "$(DESTDIR)$(PREFIX)/share/man/man1/muontrap.1"
endif

# Makes what is released, for all systems, in dist/release (VERSION: git's latest tag).
.PHONY: release
release:
	scripts/release

# Makes the manual page anew, when an option or docs/muontrap.1.in has changed.
.PHONY: man
man: build
	go run ./scripts/man ./$(BIN) <docs/muontrap.1.in >docs/muontrap.1

# Runs all tests, the packages' with the race detector too, and 300 trees of the chaos suite. Uncached: go does not see what the tests build.
.PHONY: test
test: test-deps
	MUONTRAP_CHAOS_SEED=1 MUONTRAP_CHAOS_TREES=300 go test -count=1 ./...
	CGO_ENABLED=1 go test -count=1 -race ./cmd/... ./internal/...

# Checks format, licences, the manual page, and the code for every system it is meant for.
.PHONY: lint
lint: test-deps
	scripts/lint

# Gives each fuzz target FUZZTIME.
.PHONY: fuzz
fuzz:
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
		echo "$${func#func } ($$(dirname $$file))"; \
		go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" || exit 1; \
	done

# Removes what build made.
.PHONY: clean
clean:
	rm -f muontrap
	rm -rf dist

# Shows the window at work, and what is left when a host is killed: nothing.
.PHONY: demo
demo: build
	@go run ./scripts/demo $(abspath $(BIN))

# Installs what the tests need and this machine lacks.
.PHONY: test-deps
test-deps:
	@scripts/install-test-deps

# Measures muontrap against its peers and bare system calls: a table, and dist/bench.csv. Needs gcc.
.PHONY: bench
bench: build
	@bench/install-peers
	@go run ./bench ./$(BIN) dist/bench.csv

# Draws the figures of the last make bench for the documents.
.PHONY: plot
plot:
	go run ./scripts/plot <dist/bench.csv >docs/performance.svg

# Grows and ends 1,000 hostile process trees, and looks for what is left (MUONTRAP_CHAOS_SEED=N: tree N again).
.PHONY: chaos
chaos:
	cd integration && $(if $(MUONTRAP_CHAOS_SEED)$(MUONTRAP_CHAOS_TREES),,MUONTRAP_CHAOS_TREES=1000) go test -count=1 -timeout=1h -run='^TestChaos' .

# Runs the cgroup tests on kernels and layouts that this machine does not have.
.PHONY: vm-test
vm-test:
	scripts/vm-test
