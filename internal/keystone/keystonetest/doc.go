// Package keystonetest runs Debian's Keystone (package python3-keystone) on loopback, as a program in a folder of the test's own on
// SQLite, and services behind Debian's keystonemiddleware. It is for tests that log in, check tokens or show which ones a service
// sees.
//
// Where the packages are missing the test is skipped with a sentence. The kernel ends the programs if the test dies.
package keystonetest
