// Package vendordata asks the operator's own servers what an instance reads in vendor_data2.json: one POST for each target
// of [api] vendordata_dynamic_targets, all at once, and beside them the static document of a file.
//
// Fetch is for a deploy: everybody is asked once, and the Answers are sealed with the instance. Fresh is for the metadata
// service: it starts from the sealed answers, keeps newer ones in memory, and asks again by the rules of HTTP caching
// (freshness.go). What is in memory belongs to one instance, is bounded, and is never written anywhere: a restart starts
// from the sealed answers again.
//
// A target is a stranger. It has a time for each byte and one for all, and a size; its answer must be JSON that is not nested
// deeply; its redirects are followed to itself only; and nothing of what it sends, nor of what was sent to it, is ever in
// an error or in the log: a failure is a word and a sentence of ours. A failed target counts as {}, or ends the deploy
// where vendordata_dynamic_failure_fatal says so.
//
// It does not know how this server shows who it is (Signer), renders no documents (seed does), and decides nothing about
// nodes: conductor and metadata call it. docs/decisions/0059-vendordata.md has the reasons.
package vendordata
