#!/usr/bin/env bash
# golangci-lint with .golangci.yml, gosec among its linters. Where it cannot be had, it says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

if tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint v2.15.0; then
	"$found" run --timeout 20m ./...
else
	echo "lint: skipped: golangci-lint cannot be had here" >&2
fi
