#!/usr/bin/env bash
# go vet, then staticcheck: the one on the PATH, else the pinned one, else it says that there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

go vet ./...
if command -v staticcheck >/dev/null; then
	staticcheck ./...
elif GOBIN="$PWD/bin" go install "$staticcheck"; then
	bin/staticcheck ./...
else
	echo "lint: staticcheck cannot be had here; only go vet ran" >&2
fi
