# What CI runs and what people run are the same targets. `make help` lists them.

CARGO ?= cargo
# The demo's job image; by default a small Debian with a C compiler, made from packages.
IMAGE ?=
# Further arguments of the benches: --only WHAT, --json FILE, --driver PROGRAM, --rounds N, --logs; of bench-cold also
# --scale PART, --mbit N, --svg FILE.
BENCH ?=
# Further arguments of full-host: --jobs N, --images N.
FULL_HOST ?=

.PHONY: help build test deb demo bench bench-cold full-host lint lint-rust lint-scripts lint-deny parts clean-parts

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## builds the release binary
	$(CARGO) build --release

parts: ## installs and starts what the tests stand on: engine, registries, images
	tests/parts/with.sh true

test: ## brings the parts up and runs all tests
	tests/parts/with.sh tests/parts/test.sh $(CARGO)

deb: ## builds the Debian package for this machine's architecture
	@command -v cargo-deb >/dev/null || \
		{ echo "deb: there is no cargo-deb; get it with: cargo install --locked cargo-deb" >&2; exit 1; }
	$(CARGO) deb --locked

demo: ## one job cold and again warm, with the seconds of both (IMAGE=... for another job image)
	tests/parts/with.sh $(MAKE) build
	tests/parts/demo.sh $(IMAGE)

bench: ## measures jobs against the raw API and against a plain docker driver (BENCH="--rounds 15" for more rounds)
	tests/parts/with.sh $(CARGO) bench --bench jobs -- $(BENCH)

bench-cold: ## measures a first pipeline behind a slow link, cold and warm, and draws it (BENCH="--scale 0.5" for larger images)
	tests/parts/with.sh $(CARGO) bench --bench cold -- $(or $(BENCH),--svg docs/cold-start.svg)

full-host: ## fills a host with twice the images it may have, for hundreds of jobs, and prints the curve (FULL_HOST="--jobs 600" for more)
	tests/parts/with.sh tests/parts/full-host.sh $(CARGO) $(FULL_HOST)

lint: lint-rust lint-scripts lint-deny ## formatting, clippy, docs, shell scripts, licences

lint-rust:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --no-deps --all-features

lint-scripts:
	@for script in tests/parts/*.sh; do sh -n $$script || exit 1; done
	@for script in tests/parts/gitlab-runner .ci/run; do bash -n $$script || exit 1; done
	@if command -v shellcheck >/dev/null; then \
		shellcheck -x -P SCRIPTDIR tests/parts/*.sh tests/parts/gitlab-runner .ci/run; \
	else \
		echo "lint: SKIP: no shellcheck here, scripts are only parsed"; \
	fi

# Advisories are left out: their data comes from the network. cargo-deny reads the crates of every target, also
# those that no build here has asked for yet: they are fetched first.
lint-deny:
	@if command -v cargo-deny >/dev/null; then \
		$(CARGO) fetch --locked && $(CARGO) deny --offline check licenses bans sources; \
	else \
		echo "lint: SKIP: no cargo-deny here, licences and sources are not checked"; \
	fi

clean-parts: ## stops the registries, removes their images, deletes .parts
	tests/parts/clean.sh
