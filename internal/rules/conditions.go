package rules

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/metal"
)

// holds tells whether every condition of a rule does.
func (r *run) holds(list []metal.RuleOp) (bool, error) {
	for _, o := range list {
		ok, err := r.condition(op(o))
		if err != nil {
			return false, fmt.Errorf("condition %.40s: %w", o.Op, err)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// condition tells whether one does; in a loop, as its multiple says.
func (r *run) condition(o op) (bool, error) {
	if items := r.items(o.Loop); items != nil {
		return r.overItems(o, items)
	}
	return r.once(o, r.names)
}

func (r *run) overItems(o op, items []any) (bool, error) {
	result := o.Multiple == "all"
	for _, item := range items {
		ok, err := r.once(o, r.with(item))
		if err != nil {
			return false, err
		}
		switch o.Multiple {
		case "all":
			result = result && ok
		case "last":
			result = ok
		default: // any, and first, which asks for the first that holds
			if ok {
				return true, nil
			}
		}
	}
	return result, nil
}

func (r *run) once(o op, n names) (bool, error) {
	if err := r.count(); err != nil {
		return false, err
	}
	name, not := inverted(o.Op)
	named, err := o.named(conditionArgs[name])
	if err != nil {
		return false, err
	}
	for key, v := range named {
		if key != "regex" || o.Loop != nil { // outside loops a regular expression is as it is written
			named[key] = n.fill(v)
		}
	}
	ok, err := judges[name](named)
	return ok != not, err
}

// judges are the conditions, with their arguments filled in.
var judges = map[string]func(map[string]any) (bool, error){
	"eq":       ordered(func(c int) bool { return c == 0 }),
	"lt":       ordered(func(c int) bool { return c < 0 }),
	"gt":       ordered(func(c int) bool { return c > 0 }),
	"is-empty": about(func(s string) bool { return slices.Contains([]string{"", "None", "[]", "{}"}, s) }),
	"is-none":  about(func(s string) bool { return s == "None" }),
	"is-true":  truth(true),
	"is-false": truth(false),
	"in-net":   inNet,
	"matches":  matching(true),
	"contains": matching(false),
	"one-of": func(a map[string]any) (bool, error) {
		list, ok := a["values"].([]any)
		if !ok && a["values"] != nil {
			return false, fmt.Errorf("values must be a list")
		}
		return slices.ContainsFunc(list, func(v any) bool { return compare(a["value"], v, false) == 0 }), nil
	},
}

func about(is func(string) bool) func(map[string]any) (bool, error) {
	return func(a map[string]any) (bool, error) { return is(render(a["value"])), nil }
}

func truth(want bool) func(map[string]any) (bool, error) {
	return func(a map[string]any) (bool, error) {
		switch v := a["value"].(type) {
		case bool:
			return v == want, nil
		case float64:
			return (v != 0) == want, nil
		case string:
			return slices.Contains(map[bool][]string{true: {"yes", "true"}, false: {"no", "false"}}[want], strings.ToLower(v)), nil
		case nil:
			return !want, nil
		}
		return false, nil
	}
}

// ordered holds if it holds for each value and the next.
func ordered(is func(int) bool) func(map[string]any) (bool, error) {
	return func(a map[string]any) (bool, error) {
		list, ok := a["values"].([]any)
		if !ok {
			return false, fmt.Errorf("values must be a list")
		}
		asText := truthy(a["force_strings"])
		for i := 1; i < len(list); i++ {
			if !is(compare(list[i-1], list[i], asText)) {
				return false, nil
			}
		}
		return true, nil
	}
}

// compare orders two values: by number if both are, or are texts of, numbers, else by text. Upstream compares what a
// text names by text always, so that "10" is less than "9".
func compare(a, b any, asText bool) int {
	if !asText {
		x, okX := number(a)
		y, okY := number(b)
		if okX && okY {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
	}
	return strings.Compare(render(a), render(b))
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return f, err == nil
	}
	return 0, false
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return strings.EqualFold(v, "true") || strings.EqualFold(v, "yes")
	case float64:
		return v != 0
	}
	return false
}

func inNet(a map[string]any) (bool, error) {
	subnet, address := render(a["subnet"]), render(a["address"])
	p, err := netip.ParsePrefix(subnet)
	if err != nil {
		one, single := netip.ParseAddr(subnet)
		if single != nil {
			return false, fmt.Errorf("%.60q is not a subnet", subnet)
		}
		p = netip.PrefixFrom(one, one.BitLen())
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false, fmt.Errorf("%.60q is not an IP address", address)
	}
	return p.Contains(ip.Unmap()), nil
}

// matching looks for a regular expression: anywhere, or as the whole value.
func matching(whole bool) func(map[string]any) (bool, error) {
	return func(a map[string]any) (bool, error) {
		text := render(a["regex"])
		if whole {
			text = `\A(?:` + text + `)\z`
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return false, fmt.Errorf("its regex cannot be used: %w", err)
		}
		return re.MatchString(render(a["value"])), nil
	}
}
