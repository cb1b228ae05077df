// Package ingot_test watches over the tree as a whole: who imports whom (layers_test.go), that the docs name
// only what exists (docs_test.go), and which modules the programs are made of (deps_test.go). It holds no
// code of the product and tests no room: each room does that itself.
package ingot_test
