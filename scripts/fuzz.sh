#!/usr/bin/env bash
# Runs fuzz targets of the tree, one after another, each for the time given (default 20s): those named after it, or all.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=${1:-20s}
shift || true
wanted=" $* "
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# only_the_deadline TARGET: whether the log tells of the end of the time given and of nothing else. Go before 1.27 at
# times takes that end for a failure of the target, with this line alone and no input (https://go.dev/issue/75804). What
# a target itself says has its file and line before it, and an input that fails is written and named, or told while it is made smaller.
only_the_deadline() {
	! grep -qiE 'failing input|failure while' "$log" &&
		[ "$(grep -A2 -e '--- FAIL:' "$log" | sed -E 's/ \([0-9.]+s\)$//')" = "--- FAIL: $1
    context deadline exceeded
FAIL" ]
}

# fuzz FOLDER TARGET: a target that only met the deadline runs again, whole, as often as twice.
fuzz() {
	local run
	for run in 1 2 3; do
		echo "== $1 $2"
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$limit" -fuzzminimizetime 100x "$1" 2>&1 | tee "$log"; then
			return 0
		fi
		only_the_deadline "$2" || return 1
		echo "fuzz: $2 found nothing, but Go failed it for the end of its time (go.dev/issue/75804), run $run of 3" >&2
	done
	return 1
}

found=no
while IFS=: read -r file _ line; do
	target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
	[ "$wanted" = "  " ] || [[ $wanted == *" $target "* ]] || continue
	found=yes
	fuzz "./$(dirname "${file#./}")" "$target"
done < <(grep -rnE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sort)
[ $found = yes ] || { echo "fuzz: no target found" >&2; exit 1; }
