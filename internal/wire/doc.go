// Package wire is the REST API's JSON and its microversions: what an answer looks like, which minor version
// first had each field, and how a client and a server agree on a version.
//
// Node, Port and the other types decode any answer of this API (absent and null values become zero) and
// render themselves as a given minor version shows them. The field tables (NodeFields, PortFields, …) are
// the one place that knows when a field appeared and how a caller may give it; api reads them to check
// requests, too. The room does no I/O, knows no HTTP route and decides nothing about nodes.
//
// It is for api, client and the roof. Source of every name and number: the Ironic REST API v1, microversions
// 1.1 to 1.115 (August 2026).
package wire
