# Beam's entry points. `make demo` and `make test` need nothing but this tree: they install what is missing first.
# The build itself is CMake's (CMakeLists.txt); this file only names the usual ways to call it.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help deps build demo test bench lint format asan tsan fuzz install clean

help: ## this list
	@echo "Beam: runs unmodified programs in a sandbox that can be frozen, thawed and moved. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## install every Debian package of .ci/packages that is missing (root or sudo)
	@.ci/deps

build: ## compile everything into build/ (BUILD=)
	@.ci/deps --check build
	@test -f $(BUILD)/build.ninja || cmake -S . -B $(BUILD) -G Ninja -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	@cmake --build $(BUILD)

demo: ## build, run real programs in a sandbox, and show what they see beside what the workstation sees
	@demo/demo

test: ## build and run every test, as an ordinary user and, started as root, as root where that differs
	@tests/harness/run

bench: build ## measure native, Beam, proot, bubblewrap and strace side by side
	@.ci/deps bench
	@cmake --build $(BUILD) --target bench

lint: build ## check the include arrows, the format, clang-tidy and the shell scripts
	@.ci/deps lint
	@lint/lint --build $(BUILD)

format: ## format every source file in place
	@.ci/deps lint
	@lint/lint --format

asan: ## the tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer, in build-address/
	@tests/harness/run --sanitize address

tsan: ## the tests on a build with ThreadSanitizer, in build-thread/
	@tests/harness/run --sanitize thread

fuzz: ## run each fuzz target of tests/fuzz for FUZZ_SECONDS (default 60), built with libFuzzer in build-fuzzer/
	@.ci/deps build fuzz
	@tests/fuzz/run $(FUZZ_SECONDS)

install: build ## install program, man pages and completions below DESTDIR and PREFIX (/usr/local)
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove every build folder
	rm -rf build build-*
