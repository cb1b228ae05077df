#!/usr/bin/env bash
# Writes every generated document anew. The tests that compare them with their source are the generators.
set -euo pipefail
cd "$(dirname "$0")/.."

go generate ./...
go test -count=1 -run '^TestDepsAreCommitted$' . -update
go test -count=1 -run '^TestStatesDoc$' ./internal/metal -update
go test -count=1 -run '^TestAPIDoc$' ./internal/api -update
git status --short -- docs
