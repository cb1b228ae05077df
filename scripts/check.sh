#!/usr/bin/env bash
# What must hold before a commit: formatting, vet, fresh documents, who imports whom, golangci-lint, known vulnerabilities. The
# linters take minutes the first time; what cannot be had here is said.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go vet -tags otel ./internal/telemetry ./cmd/ingot
go mod tidy -diff # prints what go mod tidy would change, and fails
go test . ./internal/metal
scripts/lint.sh
scripts/vuln.sh
