// Package e2e holds the end-to-end tests: the programs as they are built, started as processes and driven
// from outside, and what goes wrong around them. That all goes well is told by lab/demo; here BMCs refuse,
// lie and vanish, images are not what they claim, machines never call back and the server is killed.
//
// There are two kinds of machine. One is a QEMU of the lab (lab_test.go): real firmware, kernel, network,
// disk; root is needed and INGOT_LAB=1 says that it is wanted. The other (machine_test.go) is a struct behind
// the same emulated BMC which, booted from its CD, runs the real ingot-agent as a plain process whose disk is a
// file: all but kernel and firmware is what it is in production, and it needs neither root nor time. What can
// be seen there is tested there. How every damaged image ends on a disk is agent/disk's own to test.
//
// The structs run first, many side by side; then the QEMU machines, as many at a time as there are processors. A test says
// which it is (beside, labOnly), and takes a lab's name and a subnet that no other has. With INGOT_LAB_FULL=1 come those that
// show more of what another test shows.
//
// Nothing imports this package. It has no code of its own beside tests.
package e2e
