#!/usr/bin/env bash
# What `make demo` runs: install, build, and show the main job. Arguments go to `ingot lab demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
	echo "make demo needs root: it makes network namespaces and an image whose files belong to many users." >&2
	exit 1
fi
scripts/prepare.sh
make --no-print-directory build
exec bin/ingot lab demo "$@"
