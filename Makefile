# The ways to build, run, test and package LLMEval. `make` lists them.

SHELL := /bin/bash
ARGS ?=

.PHONY: help setup starter-model run test lint deny check-macos app-cross app dmg

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## on Linux: packages, MLX, bindings; nothing on a second call
	@[ "$$(uname -s)" != Linux ] || tools/setup-linux.sh

starter-model: ## fetch the starter model into the data folder; nothing on a second call
	@python3 tools/starter-model.py

run: setup starter-model ## build and start the program; ARGS="parallel --sessions 8" passes arguments on
	cargo run --release --locked -- $(ARGS)

# What the models compute is tested a second time by MLX's own operations, which is all that other machines have. The
# end-to-end test clicks in a real window: it gets the machine to itself.
test: setup starter-model ## run every test
	cargo test --locked -- --skip e2e::
	LLMEVAL_KERNELS=mlx cargo test --locked --test all -- parity:: exact:: sliding_window::
	cargo test --locked --test all -- e2e::

lint: setup ## formatting, and clippy with warnings denied
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

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
