# Tools of the checks, for scripts that source this: each of one pinned version, built once and kept beside the Go build cache.

# tool NAME PACKAGE VERSION puts the path of a tool into $found, building it when it is not there; it fails where that cannot be done.
tool() {
	local dir
	dir="$(dirname "$(go env GOCACHE)")/ingot-tools/$3"
	found="$dir/$1"
	[ -x "$found" ] || GOBIN="$dir" go install "$2@$3"
}
