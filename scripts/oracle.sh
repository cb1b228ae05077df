#!/usr/bin/env bash
# What `make oracle` runs: the same requests to Debian's Ironic and to our server; an unexplained difference fails.
# Arguments go to lab/oracle.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/ironic.sh
go build -o bin/oracle ./lab/oracle
exec bin/oracle -ingot bin/ingot "$@"
