package main

import (
	"bufio"
	"crypto/sha1"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// requests are the scripts, in the order of their names. A line is one of
//
//	# what nobody reads but us
//	== title of a section
//	METHOD PATH [@VERSION,VERSION…] [BODY]
//	with NAME: VALUE          a header of the next request
//	keep NAME PATH            what the last answer has at PATH (a.b.0.c), each server its own, is %NAME from here on; three letters
//	wait NODE FIELD=VALUE     until the node's states say so on both servers, with a deadline
//
// A request is sent once for each version: 1.N, "none" for no header, "all" for those of allVersions, "std:1.N" for
// the header of the API guidelines, and any other word as it is. Without versions it is 1.82. A body is JSON up to the
// end of the line, or "raw:TYPE TEXT". $name is a UUID made of the name, the same on both servers.
//
//go:embed requests/*.txt
var requests embed.FS

// newest is the newest microversion that Debian's Ironic speaks.
const newest = "1.82"

// allVersions are those at which the API differs most from the one before, and none at all.
var allVersions = []string{"none", "1.1", "1.6", "1.31", "1.46", "1.52", "1.65", newest}

type verb int

const (
	send verb = iota
	keep
	wait
)

// step is one line of a script.
type step struct {
	do       verb
	section  string
	place    string // FILE:LINE
	method   string
	path     string
	versions []string
	headers  [][2]string
	body     string
	kind     string // the body's Content-Type
	name     string // of what is kept; the node that is waited for
	field    string
	value    string
}

// load reads every script.
func load() ([]step, error) {
	names, err := fs.Glob(requests, "requests/*.txt")
	if err != nil {
		return nil, err
	}
	var all []step
	for _, name := range names {
		f, err := requests.Open(name)
		if err != nil {
			return nil, err
		}
		steps, err := parse(strings.TrimPrefix(name, "requests/"), bufio.NewScanner(f))
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, steps...)
	}
	return all, nil
}

func parse(file string, lines *bufio.Scanner) ([]step, error) {
	var steps []step
	var headers [][2]string
	section := ""
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		place := fmt.Sprintf("%s:%d", file, n)
		first, rest, _ := strings.Cut(line, " ")
		switch first {
		case "", "#":
		case "==":
			section = rest
		case "with":
			name, value, ok := strings.Cut(rest, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: a header is NAME: VALUE", place)
			}
			headers = append(headers, [2]string{name, value})
		case "keep":
			f := strings.Fields(rest)
			if len(f) != 2 {
				return nil, fmt.Errorf("%s: keep takes a name and a path", place)
			}
			steps = append(steps, step{do: keep, place: place, section: section, name: f[0], path: f[1]})
		case "wait":
			node, condition, _ := strings.Cut(rest, " ")
			field, value, ok := strings.Cut(condition, "=")
			if !ok {
				return nil, fmt.Errorf("%s: wait takes a node and FIELD=VALUE", place)
			}
			steps = append(steps, step{do: wait, place: place, section: section, name: node, field: field, value: value})
		default:
			s, err := parseRequest(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			s.place, s.section, s.headers, headers = place, section, headers, nil
			steps = append(steps, s)
		}
	}
	return steps, lines.Err()
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func parseRequest(line string) (step, error) {
	s := step{do: send, versions: []string{newest}, kind: "application/json"}
	method, rest, _ := strings.Cut(line, " ")
	if !slices.Contains(methods, method) {
		return s, fmt.Errorf("%q is no method and no other word", method)
	}
	s.method = method
	s.path, rest, _ = strings.Cut(rest, " ")
	if strings.HasPrefix(rest, "@") {
		var list string
		list, rest, _ = strings.Cut(rest[1:], " ")
		s.versions = nil
		for v := range strings.SplitSeq(list, ",") {
			if v == "all" {
				s.versions = append(s.versions, allVersions...)
			} else {
				s.versions = append(s.versions, v)
			}
		}
	}
	s.body = rest
	if kind, ok := strings.CutPrefix(rest, "raw:"); ok {
		s.kind, s.body, _ = strings.Cut(kind, " ")
	}
	if !strings.HasPrefix(s.path, "/") {
		return s, fmt.Errorf("the path %q does not begin with /", s.path)
	}
	return s, nil
}

var (
	aName = regexp.MustCompile(`\$[a-z][a-z0-9]*`)
	aKept = regexp.MustCompile(`%[a-z]{3}\b`) // three letters: no escaped byte looks like that
)

// uuidOf makes the UUID that a $name stands for.
func uuidOf(name string) string {
	sum := sha1.Sum([]byte(name))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80 // RFC 9562: version 4, as a server would make it
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
