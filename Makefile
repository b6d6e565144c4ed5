# The ways to build, run, test and package LLMEval. `make` lists them.

SHELL := /bin/bash
ARGS ?=

.PHONY: help setup starter-model run quick test lint deny check-macos app-cross app dmg

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## on Linux: packages, MLX, bindings; nothing on a second call
	@[ "$$(uname -s)" != Linux ] || tools/setup-linux.sh

starter-model: ## fetch the starter model into the data folder; nothing on a second call
	@python3 tools/starter-model.py

run: setup starter-model ## build and start the program; ARGS="parallel --sessions 8" passes arguments on
	cargo run --release --locked -- $(ARGS)

# What takes long is left to `make test`: real models at length, the window, the real program, unit tests.
SLOW := command_line:: convert:: downloads:: e2e:: exact:: parity:: verify:: window::

quick: setup starter-model ## after an edit: formatting, clippy and the fast tests, in less than a minute
	cargo fmt --all --check
	cargo clippy --locked --lib --bin llmeval --test all -- -D warnings
	cargo test --quiet --locked --test all -- $(SLOW:%=--skip %)

# The end-to-end test clicks in a real window of X11: it gets the machine to itself, and is for Linux.
test: setup starter-model ## run every test
	cargo test --locked -- --skip e2e::
	[ "$$(uname -s)" != Linux ] || cargo test --locked --test all -- e2e::

lint: setup ## formatting, clippy and documentation, warnings denied
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: ## licences, sources and known vulnerabilities of all crates
	tools/deny.sh

check-macos: ## on Linux: type-check and lint every target for macOS
	tools/macos/check.sh

app-cross: ## on Linux: build, sign ad hoc and pack target/bundle/LLMEval.app
	tools/macos/app-cross.sh

app: ## on a Mac: build and sign target/bundle/LLMEval.app
	tools/macos/app.sh

dmg: ## on a Mac: the app, and target/bundle/LLMEval.dmg to hand out
	tools/macos/app.sh dmg
