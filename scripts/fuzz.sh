#!/usr/bin/env bash
# Runs fuzz targets of the tree, one after another, each for the time given (default 20s): those named after it, or all.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=${1:-20s}
shift || true
wanted=" $* "
found=no
while IFS=: read -r file _ line; do
	target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
	[ "$wanted" = "  " ] || [[ $wanted == *" $target "* ]] || continue
	found=yes
	echo "== $(dirname "$file") $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$limit" -fuzzminimizetime 100x "./$(dirname "${file#./}")"
done < <(grep -rnE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sort)
[ $found = yes ] || { echo "fuzz: no target found" >&2; exit 1; }
