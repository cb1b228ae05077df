package metal

import "slices"

// NearStep is the step of known that a name probably means, "" for none: two letters apart at most, of the same interface. A
// name that differs in a digit is another step, and a short one another word.
func NearStep(name string, known []string) string {
	best, least := "", 3
	for _, have := range slices.Sorted(slices.Values(known)) {
		if d := apart(have, name); d < least && 4*d < len(have) && digits(have) == digits(name) {
			best, least = have, d
		}
	}
	return best
}

// apart counts the letters to add, drop, change or swap with their neighbour to make b of a. It is for names of steps; what is
// much longer than they are is as far as it is long.
func apart(a, b string) int {
	if len(a) > 255 || len(b) > 255 {
		return max(len(a), len(b))
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := row[j]
			if a[i] != b[j] {
				cost++
			}
			next[j+1] = min(cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

func digits(s string) string {
	var out []byte
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' {
			out = append(out, c)
		}
	}
	return string(out)
}
