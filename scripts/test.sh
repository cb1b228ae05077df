#!/usr/bin/env bash
# What `make test` runs: build, go test ./..., then the lab's tests if this host can run machines.
# What is skipped is said, with the reason. --lab-only leaves out the build's unit tests.
set -euo pipefail
cd "$(dirname "$0")/.."

lab_only=no
[ "${1:-}" = --lab-only ] && lab_only=yes
began=$(date +%s)
say() { printf '\n== %4d s  %s\n' $(($(date +%s) - began)) "$*"; }

why_no_lab=
if [ "$(id -u)" != 0 ]; then
	why_no_lab="not root: network namespaces and image building need it"
elif ! scripts/prepare.sh; then
	why_no_lab="the packages of scripts/prepare.sh cannot be installed"
elif [ "$(uname -m)" != x86_64 ]; then
	why_no_lab="the lab's machines and firmware are x86_64"
fi

# The packages with lab tests are those whose tests ask for INGOT_LAB. With the lab, all their tests run then, and
# once is enough. Those that only do more with INGOT_LAB_FULL are among them when that is wanted.
asks='"INGOT_LAB"'
[ "${INGOT_LAB_FULL:-}" = 1 ] && asks=INGOT_LAB
mapfile -t lab < <(grep -rl --include='*_test.go' "$asks" . | xargs -r -n1 dirname | sort -u)

say "build"
make --no-print-directory build

if [ $lab_only = no ]; then
	say "unit tests and CLI scripts"
	mapfile -t unit < <(go list ./...)
	if [ -z "$why_no_lab" ]; then
		mapfile -t unit < <(comm -23 <(printf '%s\n' "${unit[@]}" | sort) <(go list "${lab[@]}" | sort))
	fi
	go test -timeout 20m "${unit[@]}"
	go test -tags otel -run 'Trace|Span' ./internal/telemetry ./cmd/ingot # docs/decisions/0023-traces-behind-a-build-tag.md
	go test -tags otel -run 'TestSecretsStayInside/postgres' ./cmd/ingot # no secret is in a trace: docs/decisions/0057-canaries.md
fi

if [ $lab_only = no ]; then
	say "fuzzing what strangers write: patches, queries, policy files, version headers"
	scripts/fuzz.sh 10s FuzzPatch FuzzQuery FuzzFile FuzzCheck FuzzNegotiate
	say "fuzzing OS definitions and personalization packages: archives, lists, and what scripts ask their channel"
	scripts/fuzz.sh 10s FuzzRead FuzzLists FuzzRespond FuzzPackage
	say "fuzzing what image authors write: every disk format"
	scripts/fuzz.sh 10s FuzzVMDK FuzzVMDKDescriptor FuzzVHD FuzzVHDX FuzzVDI FuzzLUKS FuzzISO FuzzTable FuzzQCOW2 FuzzImageFile
fi

if [ -n "$why_no_lab" ]; then
	say "SKIPPED: the lab's tests (${lab[*]}): $why_no_lab"
	[ $lab_only = no ] || exit 1
elif [ ${#lab[@]} -gt 0 ]; then
	say "lab tests, with real firmware and machines: ${lab[*]}"
	# Two packages at a time: those that start machines share the processors, and those that kill the program again and
	# again (cmd/ingot) mostly wait until another goes on with what the dead one held.
	INGOT_LAB=1 go test -count=1 -p 2 -timeout 45m "${lab[@]}"
fi
say "done"
