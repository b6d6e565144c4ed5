# The ways to build, run, test and package LLMEval.

.PHONY: check-macos app-cross app dmg

check-macos: ## on Linux: type-check and lint every target for macOS
	tools/macos/check.sh

app-cross: ## on Linux: build, sign ad hoc and pack target/bundle/LLMEval.app
	tools/macos/app-cross.sh

app: ## on a Mac: build and sign target/bundle/LLMEval.app
	tools/macos/app.sh

dmg: ## on a Mac: the app, and target/bundle/LLMEval.dmg to hand out
	tools/macos/app.sh dmg
