// Package neutrontest runs Debian's Neutron (package python3-neutron: ML2 on SQLite, no agents, no message bus) with Debian's
// Keystone on loopback, as programs in a folder of the test's own, and a mechanism driver of ours that binds bare metal
// ports without a switch (ingot_binder.py). It is for tests that show what ports of machines do; it moves no packet.
//
// Where the packages are missing the test is skipped with a sentence. The kernel ends the programs if the test dies.
package neutrontest
