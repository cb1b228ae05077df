#!/usr/bin/env bash
# Installs Debian's Ironic to compare with, from the host's own sources; quick when it is there. The package
# ironic-common has its programs (API, conductor, schema) and no service that would start: those are in ironic-api
# and ironic-conductor, which are not installed. What else comes along is kept from starting, too.
set -euo pipefail

packages=(ironic-common sqlite3)
missing=()
for p in "${packages[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "ironic: not root, and these Debian packages are missing: ${missing[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "ironic: no apt-get on this system; what is wanted are Debian's packages ${missing[*]}" >&2
	exit 1
fi
echo "ironic: installing ${missing[*]}"
policy=/usr/sbin/policy-rc.d # asked before a package's script starts a service; 101 forbids it
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null >/dev/null
