#!/usr/bin/env bash
# What `make bench` runs: programs under lab/bench that compare with other tools and print their own table,
# then the Go benchmarks of the rooms whose speed is promised. With names (pollbench, store) only those run.
set -euo pipefail
cd "$(dirname "$0")/.."

# By name: Benchmark functions are only in rooms that promise a speed.
mapfile -t rooms < <(grep -rlE --include='*_test.go' '^func Benchmark' . | xargs -r -n1 dirname | sort -u)

wanted() { # a program or a room by the last part of its folder; without names everything
	[ ${#only[@]} = 0 ] && return
	local name
	for name in "${only[@]}"; do
		[ "$name" = "$(basename "$1")" ] && return
	done
	return 1
}
only=("$@")
known=$(printf '%s\n' lab/bench/*/ "${rooms[@]}" | xargs -n1 basename)
for name in "${only[@]}"; do
	grep -qx -- "$name" <<<"$known" || { printf 'bench: there is no %s; there are:\n%s\n' "$name" "$known" >&2 && exit 2; }
done

if wanted apibench; then
	scripts/ironic.sh || echo "bench: Ironic is not here to compare with" >&2
fi
for main in lab/bench/*/; do
	wanted "$main" || continue
	echo "== $main"
	go run "./$main"
done
for room in "${rooms[@]}"; do
	wanted "$room" || continue
	echo "== $room"
	go test -run '^$' -bench . -benchmem -timeout 60m "$room"
done
