# The commands people type; CI calls the same.
E2E = cargo run --quiet --package coreward-e2e --

.DEFAULT_GOAL := help

help: ## What can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build everything, start a cluster and a chain on this machine, and tell the whole story
	@e2e/run demo

demo-down: ## Remove every trace of the demo
	@e2e/run bed down

test: ## All tests: unit, contract, and the stories on the real bed
	@.ci/test

test-unit: ## The tests that need no bed
	cargo test --quiet

check: ## Format, lints, docs, licences, spelling, generated files
	@.ci/check

bench: ## Measure the loop's speed and write e2e/BENCH.md
	@e2e/run bench

bench-randomx: ## Measure the RandomX engine beside the C++ one and write operator/randomx/BENCH.md
	cargo bench --quiet --package coreward-randomx --bench randomx

bench-overlay: ## Measure the overlay beside bare libp2p and TLS and write operator/overlay/BENCH.md
	cargo bench --quiet --package coreward-overlay --bench overlay

bench-worker: ## Measure the worker beside `wasmtime serve` and write operator/worker/BENCH.md
	cargo bench --quiet --package coreward-worker --bench worker

test-randomx-long: ## Compare the RandomX engine with two others, 1,000 keys with 100 inputs each: hours
	COREWARD_RANDOMX_KEYS=1000 COREWARD_RANDOMX_INPUTS=100 cargo test --release --package coreward-randomx \
		--test fluence --test stock -- --nocapture

NIGHTLY := nightly-2026-04-15
test-randomx-unsafe: ## Run the RandomX engine's tests under Miri and under the address sanitizer, on a nightly compiler
	rustup toolchain install $(NIGHTLY) --profile minimal --component miri --component rust-src
	MIRIFLAGS=-Zmiri-disable-isolation cargo +$(NIGHTLY) miri test --package coreward-randomx --lib --no-default-features -- \
		superscalar program:: blake hash:: numbers_are_checked limit interpreter --skip a_limit_below
	RUSTFLAGS=-Zsanitizer=address cargo +$(NIGHTLY) test --release --package coreward-randomx --lib \
		--target x86_64-unknown-linux-gnu

soak: ## End our programs 200 times, replace the operators 100 times in quiet, then half an hour of noise; write e2e/SOAK.md, e2e/QUIET.md and e2e/NOISE.md
	@e2e/run bed up
	@COREWARD_KILLS=200 COREWARD_SOAK=$(CURDIR)/e2e/SOAK.md cargo test --quiet --package coreward-e2e --test stories \
		killed_anywhere -- --nocapture
	@COREWARD_QUIET_MINUTES=10 COREWARD_QUIET_RESTARTS=100 COREWARD_QUIET=$(CURDIR)/e2e/QUIET.md cargo test --quiet --package coreward-e2e --test stories \
		quiet -- --nocapture
	@COREWARD_NOISE=$(CURDIR)/e2e/NOISE.md cargo test --quiet --package coreward-e2e --test stories long_noise -- \
		--nocapture --ignored

alerts: ## Check the alerts' rules as Prometheus reads them, and run their tests
	cargo test --quiet --package coreward-e2e --test alerts -- --include-ignored

test-isolation: export COREWARD_ENFORCE = yes
test-isolation: ## Send packets against every policy, in a bed of its own whose network enforces them (its engine is built once, some minutes)
	@e2e/run bed up
	@cargo test --quiet --package coreward-e2e --test isolation -- --nocapture --ignored; \
		result=$$?; e2e/run bed down && exit $$result

bless: ## Rewrite the generated files
	BLESS=1 cargo test --quiet --package coreward-crds
	BLESS=1 cargo test --quiet --package coreward-controllers --lib kept_policies

.PHONY: help demo demo-down test test-unit check bench bench-randomx bench-overlay bench-worker test-randomx-long test-randomx-unsafe soak alerts test-isolation bless
