// Package watched holds what files of the operator's say, and reads them again when they change.
//
// It is for files that change while the server runs: users, keys, certificates. Looking costs one stat a file and use, so a change
// counts from the next use on, without a signal or a restart. What became wrong is told to the log once, and what was read before
// stays in force. identity, keystone and vendordata use it; the certificates of our own doors are api's.
package watched
