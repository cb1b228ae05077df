// Package pgtest gives tests a real PostgreSQL: a private cluster of Debian's package, made in a temporary
// folder, reached by a Unix socket only, run by an unprivileged user, gone when the test process is.
//
// It knows nothing of the store, so that the store's own tests can use it; everybody else uses storetest.
// Where PostgreSQL is not installed the test that asks is skipped.
package pgtest
