// Package confinetest is what a hostile script tries: one table of attacks, run by tests on this host, by the test that boots the Debian
// ramdisk, and by the one that installs a machine. Each attack has two outcomes, of a confined script and of one that is not: the second
// shows that the attack is one. testdata/attacks in the folder above is the program that tries them.
package confinetest
