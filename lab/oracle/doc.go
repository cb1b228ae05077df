// Command oracle sends the same requests to Debian's Ironic and to our server, and compares what comes back: statuses,
// headers, the form of errors, and keys, types and values of bodies. Sentences for people are not compared; times and
// identifiers that a server chose count as equal.
//
//	oracle [-ingot PROGRAM] [-explained FILE] [-only SECTION] [-report FILE] [-dir DIR]
//
// The requests are in requests/*.txt, in a small language that script.go describes. A difference is explained by a row of
// the tables in docs/compatibility.md (explained.go), each with its reason; one that is not explained fails, and so does a
// row that explains nothing. Debian's package speaks microversions up to 1.82: what is newer is out of its reach.
// "make oracle" calls it; nothing else does.
package main
