package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of one check string. They are far beyond what anybody writes.
const (
	maxText  = 16 << 10 // bytes
	maxDepth = 50       // of parentheses and negations
)

// parse understands a check string. Its errors are for the operator who wrote it. Source of the language:
// oslo.policy's documentation of check strings; RBAC reference §2.
func parse(text string) (expr, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("a check string may have %d bytes, and this one has %d", maxText, len(text))
	}
	p := parser{words: split(text)}
	if len(p.words) == 0 {
		return constant(true), nil
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if len(p.words) > 0 {
		return nil, fmt.Errorf("there is something wrong before %s: and, or, or the end was expected", clip(p.words[0]))
	}
	return e, nil
}

// split cuts a check string into words. Parentheses at the begin and the end of a word are words of their own: those
// inside one belong to %(key)s.
func split(text string) []string {
	var words []string
	for _, w := range strings.Fields(text) {
		rest := strings.TrimLeft(w, "(")
		for range len(w) - len(rest) {
			words = append(words, "(")
		}
		check := strings.TrimRight(rest, ")")
		if check != "" {
			words = append(words, check)
		}
		for range len(rest) - len(check) {
			words = append(words, ")")
		}
	}
	return words
}

// parser reads words, first to last.
type parser struct{ words []string }

// take eats the next word if it is this one, in any case of letters.
func (p *parser) take(word string) bool {
	if len(p.words) == 0 || !strings.EqualFold(p.words[0], word) {
		return false
	}
	p.words = p.words[1:]
	return true
}

func (p *parser) or(depth int) (expr, error) {
	out, err := p.list("or", depth, p.and)
	if len(out) == 1 {
		return out[0], err
	}
	return anyOf(out), err
}

func (p *parser) and(depth int) (expr, error) {
	out, err := p.list("and", depth, p.not)
	if len(out) == 1 {
		return out[0], err
	}
	return allOf(out), err
}

// list reads what is divided by a word.
func (p *parser) list(by string, depth int, each func(int) (expr, error)) (out []expr, err error) {
	for {
		e, err := each(depth)
		if err != nil {
			return nil, err
		}
		if out = append(out, e); !p.take(by) {
			return out, nil
		}
	}
}

func (p *parser) not(depth int) (expr, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d levels", maxDepth)
	}
	if len(p.words) == 0 {
		return nil, errors.New("it ends where a check was expected")
	}
	switch {
	case p.take("not"):
		e, err := p.not(depth + 1)
		return inverse{e}, err
	case p.take("("):
		e, err := p.or(depth + 1)
		if err == nil && !p.take(")") {
			err = errors.New("a parenthesis is not closed")
		}
		return e, err
	}
	word := p.words[0]
	p.words = p.words[1:]
	return parseCheck(word)
}

// parseCheck understands one word.
func parseCheck(word string) (expr, error) {
	switch word {
	case "@":
		return constant(true), nil
	case "!":
		return constant(false), nil
	}
	if word == ")" || strings.EqualFold(word, "and") || strings.EqualFold(word, "or") || strings.EqualFold(word, "not") {
		return nil, fmt.Errorf("there is %q where a check was expected", word)
	}
	left, right, ok := strings.Cut(word, ":")
	if !ok || left == "" {
		return nil, fmt.Errorf("%s is no check: it is neither @ nor ! nor of the form KIND:VALUE", clip(word))
	}
	switch left {
	case "http", "https":
		return nil, fmt.Errorf("%s asks another server, which this server does not do: rights are judged while the database is locked. "+
			"Say it with roles, or let the other server write the policy file", clip(word))
	case "rule":
		if right == "" {
			return nil, fmt.Errorf("%s names no rule", clip(word))
		}
		return &ref{name: normal(right)}, nil
	case "role":
		name, err := parseTemplate(right)
		if name.fixed() {
			name.parts[0].text = strings.ToLower(name.parts[0].text)
		}
		return hasRole{name}, err
	}
	value, err := parseTemplate(right)
	if err != nil {
		return nil, err
	}
	if c, ok := credentials[left]; ok {
		return equal{left, c, value}, nil
	}
	text, ok := literalOf(left)
	if !ok {
		return nil, fmt.Errorf("%s asks for %s, which is not known of a caller. Known are %s, and 'texts' in quotes", clip(word), clip(left), known(credentials))
	}
	return literal{left, text, value}, nil
}

// literalOf reads a Python literal: a text in quotes, a number, True, False or None.
func literalOf(s string) (string, bool) {
	if n := len(s); n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n-1] == s[0] {
		return s[1 : n-1], !strings.ContainsAny(s[1:n-1], `\'"`)
	}
	if s == "True" || s == "False" || s == "None" {
		return s, true
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return strconv.FormatInt(n, 10), err == nil
}

// parseTemplate reads the right side of a check. A percent sign stands for %(key)s or, doubled, for itself.
func parseTemplate(s string) (template, error) {
	var t template
	text := ""
	for rest := s; ; {
		before, after, found := strings.Cut(rest, "%")
		text += before
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			text, rest = text+"%", after[1:]
			continue
		}
		key, tail, ok := strings.Cut(after, ")s")
		if !ok || !strings.HasPrefix(key, "(") {
			return template{}, fmt.Errorf("%s has a %% that is not of the form %%(key)s; a percent sign itself is written %%%%", clip(s))
		}
		value, err := valueOf(key[1:])
		if err != nil {
			return template{}, err
		}
		if text != "" {
			t.parts, text = append(t.parts, part{text: text}), ""
		}
		t.parts, rest = append(t.parts, part{key[1:], value}), tail
	}
	if text != "" || len(t.parts) == 0 {
		t.parts = append(t.parts, part{text: text})
	}
	return t, nil
}

// serviceProject is the key by which rules know the project of services that are lifted.
const serviceProject = "config.service_project_name"

// valueOf finds a key of the object, of the caller or of the configuration.
func valueOf(key string) (func(*judged) string, error) {
	if get, ok := targets[key]; ok {
		return func(on *judged) string { return get(on.on) }, nil
	}
	if c, ok := credentials[key]; ok && c.one != nil {
		return func(on *judged) string { return c.one(on.who) }, nil
	}
	if key == serviceProject {
		return func(on *judged) string { return on.service }, nil
	}
	return nil, fmt.Errorf("%%(%s)s is not known. Known are %s and, of the caller, %s", strings.Trim(clip(key), `"`), known(targets), known(credentials))
}
