// Package courier keeps secret-class values in memory, by handle, for one operation each.
//
// The server that took a request keeps its values here; the operation's row holds the handle, the server's
// name and the values' names. The conductor that walks the operation fetches what a step needs when it needs
// it: from here, if it is the same process, else over mutual TLS (room peer). Values are wiped when the
// operation ends, when their time is over and when the process ends in good order; when it dies, they are
// gone, and the operation says what to give again. Nothing here writes, logs or prints one.
//
// A handle is 256 random bits and good for one operation only, so that neither alone fetches anything. It is
// not for values that may be at rest (store seals those), and it knows nothing of networks or callers. ops
// keeps and releases, the conductor and cmd fetch.
package courier
