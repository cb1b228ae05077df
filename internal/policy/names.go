package policy

import (
	"maps"
	"slices"
	"strings"
)

const (
	prefix     = "baremetal:" // of rules in policy files and in answers
	stepPrefix = Rule("step:execute:")
)

// normal is a rule's name without upstream's prefix.
func normal(name string) Rule { return Rule(strings.TrimPrefix(name, prefix)) }

// stepRule tells whether a name is of the optional kind that judges one step: step:execute:INTERFACE.STEP.
func stepRule(name Rule) bool {
	step, ok := strings.CutPrefix(string(name), string(stepPrefix))
	kind, what, dot := strings.Cut(step, ".")
	return ok && dot && kind != "" && what != ""
}

// near suggests the rule that was meant by a name that is not known: "" or a sentence's end.
func near[T any](name Rule, known map[Rule]T) string {
	best, least := Rule(""), 4 // more letters than that and it is another word
	for _, have := range slices.Sorted(maps.Keys(known)) {
		if d := distance(string(have), string(name), least); d < least && have != name {
			best, least = have, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + string(best) + "?"
}

// distance counts the letters to add, drop or change to make b of a, or gives limit if that is fewer.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}

func hasPrefix(name, start Rule) bool { return strings.HasPrefix(string(name), string(start)) }
