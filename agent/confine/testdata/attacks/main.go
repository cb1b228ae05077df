// Command attacks is a hostile script. With the argument free it leaves out what would hurt a machine that does not confine it.
package main

import (
	"os"
	"slices"

	"ingot/agent/confine/confinetest"
)

func main() {
	confinetest.Try(os.Stdout, slices.Contains(os.Args[1:], "free"))
}
