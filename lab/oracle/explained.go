package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// row is one line of the tables of explained differences:
//
//	| Requests | Versions | Where | Ironic | Here | Why |
//
// A cell's words in backticks are patterns, in which * stands for anything; one of them must match, and a cell without
// any matches all. The rest of a cell is for people. Versions are as requests name them, or <1.N or >=1.N.
type row struct {
	line     int
	requests []string
	versions []string
	where    []string
	theirs   []string
	ours     []string
	used     int
}

// heading begins the section of the document that has the tables.
const heading = "## Beside Debian's Ironic"

var inBackticks = regexp.MustCompile("`([^`]+)`")

// readRows finds the tables in a Markdown document.
func readRows(document string) ([]*row, error) {
	_, section, found := strings.Cut(document, "\n"+heading+"\n")
	if !found {
		return nil, fmt.Errorf("there is no section %q", heading)
	}
	line := 2 + strings.Count(document[:len(document)-len(section)], "\n") - 1
	var rows []*row
	for text := range strings.Lines(section) {
		if strings.HasPrefix(text, "## ") {
			break
		}
		line++
		text = strings.TrimSpace(text)
		if !strings.HasPrefix(text, "|") || strings.HasPrefix(text, "|---") || strings.HasPrefix(text, "| Requests |") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(text, `\|`, "\x00"), "|"), "|")
		if len(cells) != 6 {
			return nil, fmt.Errorf("line %d has %d cells and not 6", line-1, len(cells))
		}
		if strings.TrimSpace(cells[5]) == "" {
			return nil, fmt.Errorf("line %d gives no reason", line-1)
		}
		rows = append(rows, &row{line: line - 1, requests: patterns(cells[0]), versions: patterns(cells[1]), where: patterns(cells[2]),
			theirs: patterns(cells[3]), ours: patterns(cells[4])})
	}
	return rows, nil
}

func patterns(cell string) []string {
	var out []string
	for _, m := range inBackticks.FindAllStringSubmatch(cell, -1) {
		out = append(out, strings.ReplaceAll(m[1], "\x00", "|"))
	}
	return out
}

// explains tells whether the row is about the difference.
func (r *row) explains(d difference) bool {
	return matches(r.requests, d.request) && r.covers(d.version) && matches(r.where, d.where) && matches(r.theirs, d.theirs) && matches(r.ours, d.ours)
}

func (r *row) covers(version string) bool {
	for _, v := range r.versions {
		if v == version || within(v, version) {
			return true
		}
	}
	return len(r.versions) == 0
}

// within tells whether a version is in a bound such as <1.5 or >=1.34; without a header it is 1.1.
func within(bound, version string) bool {
	if version == "none" {
		version = "1.1"
	}
	minor, ok := minorOf(version)
	if b, is := strings.CutPrefix(bound, ">="); is {
		limit, valid := minorOf(b)
		return ok && valid && minor >= limit
	}
	if b, is := strings.CutPrefix(bound, "<"); is {
		limit, valid := minorOf(b)
		return ok && valid && minor < limit
	}
	return false
}

func minorOf(version string) (int, bool) {
	text, ok := strings.CutPrefix(strings.TrimPrefix(version, "std:"), "1.")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

func matches(patterns []string, text string) bool {
	for _, p := range patterns {
		if glob(p, text) {
			return true
		}
	}
	return len(patterns) == 0
}

// glob matches a whole text against a pattern whose only special character is *.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}
