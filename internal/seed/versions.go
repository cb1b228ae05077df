package seed

import (
	"path"
	"slices"
	"strings"
)

// Latest is the name of the newest version in both trees.
const Latest = "latest"

// Versions are the directories under openstack/. An instance's client takes the newest date that it knows.
// Source: metadata reference §1.
var Versions = []string{"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
	"2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04", Latest}

// EC2Versions are the directories under ec2/, and under /. Source: metadata reference §1.
var EC2Versions = []string{"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
	"2008-09-01", "2009-04-04", Latest}

// Page is the answer to one path.
type Page struct {
	Content []byte
	Type    string // for Content-Type
	Listing bool   // Content names what is below the path, one a line
}

// The types of pages. Text is ours; Raw is the user's, in whatever encoding.
const (
	TypeJSON = "application/json"
	TypeText = "text/plain; charset=utf-8"
	TypeRaw  = "text/plain"
)

// Listing gives the pages that are the same for every instance: the versions, at "/", "/ec2" and "/openstack".
func Listing(asked string) (Page, bool) {
	switch steps := split(asked); {
	case len(steps) == 0, len(steps) == 1 && steps[0] == "ec2":
		return listing(EC2Versions), true
	case len(steps) == 1 && steps[0] == "openstack":
		return listing(Versions), true
	}
	return Page{}, false
}

func listing(names []string) Page {
	return Page{[]byte(strings.Join(names, "\n")), TypeText, true}
}

// split gives the steps of a path; it never leads out of the root, and empty steps count for nothing. A path of neither
// tree is one of EC2's: "/latest/meta-data" is "/ec2/latest/meta-data".
func split(asked string) []string {
	steps := strings.Split(strings.TrimPrefix(path.Clean("/"+asked), "/"), "/")
	switch steps[0] {
	case "":
		return nil
	case "ec2", "openstack":
		return steps
	}
	return append([]string{"ec2"}, steps...)
}

// has tells whether a version has what was added in another. An unknown version has nothing.
func has(versions []string, version, since string) bool {
	at := slices.Index(versions, version)
	return at >= 0 && at >= slices.Index(versions, since)
}
