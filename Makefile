# Everything there is to do. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# In the order given, so that the tests of the server close the output.
.NOTPARALLEL:

# Debian's daemons (redis-server, haproxy) and cargo's programs are not on everybody's path.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH):/usr/sbin:/sbin

# A profile of .config/nextest.toml.
NEXTEST_PROFILE ?= default

PYTHON_CLIENT := $(wildcard clients/python/pyproject.toml)

.PHONY: help setup run test test-rust test-python check fmt-check clippy lua-check fmt bench soak model explore harness planted-bugs livekit-test docs schemathesis schemathesis-short cluster-test cluster-test-short valkey-test

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what building and testing needs (Debian)
	scripts/setup

run: ## run everything on this machine; ARGS='--replicas 3' for more
	scripts/setup run
	cargo run --locked -- dev $(ARGS)

test: setup test-python test-rust ## run every test

# nextest runs no examples of the documentation.
test-rust:
	cargo test --locked --doc --quiet
	cargo nextest run --locked --profile $(NEXTEST_PROFILE)

# What stands on Redis alone, on a Cluster of three masters. Each test waits two seconds for its own, which
# costs no core.
cluster-test: setup ## the tests of the store and of whole lives, on a Redis Cluster
	GREENROOM_TEST_TOPOLOGY=cluster cargo nextest run --locked --profile $(NEXTEST_PROFILE) --test it --test-threads 6 \
	    -E 'test(/^(store|life)_/) + test(/^dispatch_service/) - test(/^life_shipped/)'

cluster-test-short: setup
	GREENROOM_TEST_TOPOLOGY=cluster cargo nextest run --locked --profile $(NEXTEST_PROFILE) --test it --test-threads 6 \
	    -E 'test(/^store_(acquire|faults|leader)/) + test(/^dispatch_service/) + test(/^life_(ends|ttl)/)'

valkey-test: setup ## the tests of the store and of whole lives, on Valkey
	GREENROOM_TEST_REDIS_SERVER="$$(scripts/valkey)" cargo nextest run --locked --profile $(NEXTEST_PROFILE) --test it \
	    -E 'test(/^(store|life|topology)_/) + test(/^dispatch_service/) - test(/^life_shipped/)'

ifeq ($(PYTHON_CLIENT),)
test-python:
else
test-python: .venv/ready
	cd clients/python && ../../.venv/bin/python -m pytest -q

.venv/ready: clients/python/pyproject.toml clients/python/requirements-dev.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r clients/python/requirements-dev.txt
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e clients/python
	touch $@
endif

check: fmt-check clippy lua-check test cluster-test-short ## all that must hold before a change goes in

fmt-check:
	cargo fmt --check

# The lints that only warn while editing (Cargo.toml) are errors here.
clippy:
	cargo clippy --locked --all-targets -- -D warnings

lua-check: setup
	@if [ -d lua ]; then luacheck --quiet lua; fi

docs: ## write anew what is made of the code in docs/
	GREENROOM_WRITE_DOCS=1 cargo test --locked --lib --quiet -- the_page_of_errors_is_that_of_the_catalogue

fmt: ## format the code
	cargo fmt

schemathesis: setup ## try the API with its own document: 3 seeds, 500 examples an operation
	scripts/schemathesis 500 1 2 3

# Short enough for every change: under a minute.
schemathesis-short: setup
	scripts/schemathesis 30 1

bench: setup ## measure: a table with the limit beside each figure
	cargo bench --locked

soak: setup ## the large forms of tests: 10,000 idle connections, 20 restarts, LiveKit away for 30 s
	GREENROOM_TEST_CONNECTIONS=10000 GREENROOM_TEST_RESTARTS=20 GREENROOM_TEST_OUTAGE_SECONDS=30 \
	GREENROOM_TEST_LOCK_ROUNDS=10 cargo nextest run --locked --profile soak --test it \
		-E 'test(idle_connections) or test(rolling_restarts) or test(life_storm) or test(binary_locks)'

# Without nextest: the whole run is one test, and may take hours.
harness: setup ## replicas under seeded faults: SEEDS=500 SECONDS=30 FIRST_SEED=1 AT_ONCE=4
	GREENROOM_HARNESS_SEEDS=$(or $(SEEDS),500) GREENROOM_HARNESS_FIRST_SEED=$(or $(FIRST_SEED),1) \
		GREENROOM_HARNESS_SECONDS=$(or $(filter-out 0,$(SECONDS)),30) GREENROOM_HARNESS_AT_ONCE=$(or $(AT_ONCE),4) \
		cargo test --locked --profile harness --test it -- --nocapture --exact harness::replicas_keep_their_promises_under_faults

planted-bugs: setup ## does the harness bite? Each planted bug must be caught
	scripts/planted-bugs $(NAMES)

# The long forms of what docs/testing.md tells of.
model: ## the models of the protocols, exhausted for three replicas and two faults: minutes
	GREENROOM_MODEL_FAULTS=2 cargo nextest run --locked --profile soak --test it -E 'test(/^model::/)'

explore: setup ## seeded interleavings for SECONDS=600, from the seed FROM=1000000 on
	GREENROOM_EXPLORE_SECONDS=$(or $(filter-out 0,$(SECONDS)),600) GREENROOM_EXPLORE_FROM=$(or $(FROM),1000000) \
		cargo nextest run --locked --profile soak --test it -E 'test(seeded_interleavings)'

livekit-test: setup ## the provider's tests against a real server: LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET
	@: "$${LIVEKIT_URL:?}" "$${LIVEKIT_API_KEY:?}" "$${LIVEKIT_API_SECRET:?}"
	cargo nextest run --locked --profile $(NEXTEST_PROFILE) --test it -E 'test(provider)'
