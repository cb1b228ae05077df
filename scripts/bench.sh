#!/usr/bin/env bash
# What `make bench` runs: programs under lab/bench that compare with other tools and print their own table,
# then the Go benchmarks of the rooms whose speed is promised.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/ironic.sh || echo "bench: Ironic is not here to compare with" >&2
for main in lab/bench/*/; do
	[ -d "$main" ] || continue
	echo "== $main"
	go run "./$main"
done
# By name: Benchmark functions are only in rooms that promise a speed.
mapfile -t rooms < <(grep -rlE --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u)
for room in "${rooms[@]}"; do
	echo "== $room"
	go test -run '^$' -bench . -benchmem -timeout 60m "$room"
done
