package agentapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

const (
	gib = 1 << 30
	// minRootSize is the smallest disk that is chosen when there are no hints. Source: agent protocol
	// reference §8.2.
	minRootSize = 4 * gib
)

// Hints say which disk is meant: every one must hold. The zero Hints match every disk. The language is
// that of Ironic's root device hints; source: agent protocol reference §8.2.
type Hints struct{ list []hint }

type hint struct {
	name string
	disk func(Disk) bool
}

// Empty tells whether nothing is asked for.
func (h Hints) Empty() bool { return len(h.list) == 0 }

// Match tells whether d has everything that is asked for. A disk that lacks an attribute does not match.
func (h Hints) Match(d Disk) bool {
	for _, one := range h.list {
		if !one.disk(d) {
			return false
		}
	}
	return true
}

// hintTexts are the hints that compare text, and where a disk has it.
var hintTexts = map[string]func(Disk) *string{
	"model":                func(d Disk) *string { return &d.Model },
	"name":                 func(d Disk) *string { return &d.Name },
	"vendor":               func(d Disk) *string { return d.Vendor },
	"serial":               func(d Disk) *string { return d.Serial },
	"wwn":                  func(d Disk) *string { return d.WWN },
	"wwn_with_extension":   func(d Disk) *string { return d.WWNWithExtension },
	"wwn_vendor_extension": func(d Disk) *string { return d.WWNVendorExtension },
	"hctl":                 func(d Disk) *string { return d.HCTL },
	"by_path":              func(d Disk) *string { return d.ByPath },
	"tran":                 func(d Disk) *string { return d.Tran },
}

// ParseHints reads an object of hints as it stands in properties.root_device. Errors are fault.Invalid.
func ParseHints(object map[string]any) (Hints, error) {
	var h Hints
	for name, value := range object {
		var match func(Disk) bool
		var err error
		switch of, isText := hintTexts[name]; {
		case isText:
			match, err = textHint(of, value)
		case name == "size":
			match, err = sizeHint(value)
		case name == "rotational":
			match, err = rotationalHint(value)
		default:
			err = fmt.Errorf("there is no such hint")
		}
		if err != nil {
			return Hints{}, fault.New(fault.Invalid, "root device hint %q: %v", printable(name), err)
		}
		h.list = append(h.list, hint{name, match})
	}
	slices.SortFunc(h.list, func(a, b hint) int { return cmp.Compare(a.name, b.name) })
	return h, nil
}

// RootDisk chooses the disk that an image of n is written to, among disks in the kernel's order: the
// first that matches instance_info.root_device, else properties.root_device; without hints the smallest
// of at least 4 GiB that can be written and is not removable: a stick that somebody left in is the smallest, as a
// rule. Disks in properties.skip_block_devices are never chosen.
// Errors: fault.Invalid for malformed hints, fault.NotFound.
func RootDisk(n Node, disks []Disk) (Disk, error) {
	hints, err := rootHints(n)
	if err != nil {
		return Disk{}, err
	}
	left, err := Unskipped(n, disks)
	if err != nil {
		return Disk{}, err
	}
	if !hints.Empty() {
		if i := slices.IndexFunc(left, hints.Match); i >= 0 {
			return left[i], nil
		}
		return Disk{}, fault.New(fault.NotFound, "No suitable device was found for deployment: none of %d disks matches the root device hints", len(left))
	}
	left = slices.DeleteFunc(left, func(d Disk) bool { return d.Size < minRootSize || d.ReadOnly || d.Removable })
	if len(left) == 0 {
		return Disk{}, fault.New(fault.NotFound, "No suitable device was found for deployment: there is no writable disk of 4 GiB or more that is not removable; "+
			"a removable one must be named by root device hints")
	}
	return slices.MinFunc(left, func(a, b Disk) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	}), nil
}

// Unskipped gives the disks that properties.skip_block_devices does not exclude, in their order. Entries
// with a volume_name are about software RAID volumes and exclude no disk. Errors are fault.Invalid.
func Unskipped(n Node, disks []Disk) ([]Disk, error) {
	list, ok := n.Properties["skip_block_devices"].([]any)
	if !ok && n.Properties["skip_block_devices"] != nil {
		return nil, fault.New(fault.Invalid, "skip_block_devices is not a list of hints")
	}
	left := slices.Clone(disks)
	for _, entry := range list {
		object, ok := entry.(map[string]any)
		if !ok || len(object) == 0 {
			return nil, fault.New(fault.Invalid, "an entry of skip_block_devices is not an object of hints")
		}
		if _, volume := object["volume_name"]; volume {
			continue
		}
		h, err := ParseHints(object)
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, h.Match)
	}
	return left, nil
}

// KeptVolumes are the names of software RAID volumes that properties.skip_block_devices wants to be kept.
func KeptVolumes(n Node) (names []string) {
	list, _ := n.Properties["skip_block_devices"].([]any)
	for _, entry := range list {
		object, _ := entry.(map[string]any)
		if name, ok := object["volume_name"].(string); ok && name != "" {
			names = append(names, name)
		}
	}
	return names
}

func rootHints(n Node) (Hints, error) {
	for _, from := range []map[string]any{n.InstanceInfo, n.Properties} {
		switch v := from["root_device"].(type) {
		case nil:
		case map[string]any:
			if len(v) > 0 {
				return ParseHints(v)
			}
		default:
			return Hints{}, fault.New(fault.Invalid, "root_device is not an object of hints")
		}
	}
	return Hints{}, nil
}

// Operators, longer ones before their prefixes.
var (
	textOps   = []string{"s==", "s!=", "s>=", "s<=", "s>", "s<", "<in>", "<or>", "<all-in>"}
	numberOps = []string{"<range-in>", "<or>", "==", "!=", ">=", "<=", ">", "<", "="}
)

// splitOp separates the operator that expr begins with, fallback if it begins with none.
func splitOp(expr string, ops []string, fallback string) (op, rest string) {
	expr = strings.TrimSpace(expr)
	for _, op := range ops {
		if rest, ok := strings.CutPrefix(expr, op); ok {
			return op, strings.TrimSpace(rest)
		}
	}
	return fallback, expr
}

func textHint(of func(Disk) *string, value any) (func(Disk) bool, error) {
	expr, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("it must be a string")
	}
	expr = strings.ToLower(expr)
	if op, _ := splitOp(expr, numberOps, ""); op != "" && op != "<or>" {
		if text, _ := splitOp(expr, textOps, ""); text == "" {
			return nil, fmt.Errorf("%q compares numbers, and this is text", op)
		}
	}
	op, want := splitOp(expr, textOps, "s==")
	if want == "" {
		return nil, fmt.Errorf("it has no value")
	}
	var holds func(have string) bool
	switch op {
	case "s==":
		holds = func(have string) bool { return have == want }
	case "s!=":
		holds = func(have string) bool { return have != want }
	case "s>=":
		holds = func(have string) bool { return have >= want }
	case "s<=":
		holds = func(have string) bool { return have <= want }
	case "s>":
		holds = func(have string) bool { return have > want }
	case "s<":
		holds = func(have string) bool { return have < want }
	case "<in>":
		holds = func(have string) bool { return strings.Contains(have, want) }
	case "<or>":
		any := alternatives(want)
		holds = func(have string) bool { return slices.Contains(any, have) }
	case "<all-in>":
		all := strings.Fields(want)
		// What a disk has is one value: it holds all of them only if they are all that one.
		holds = func(have string) bool {
			return !slices.ContainsFunc(all, func(w string) bool { return w != have })
		}
	}
	return func(d Disk) bool {
		have := of(d)
		return have != nil && *have != "" && holds(strings.ToLower(strings.TrimSpace(*have)))
	}, nil
}

func alternatives(s string) []string {
	all := strings.Split(s, "<or>")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

func sizeHint(value any) (func(Disk) bool, error) {
	var expr string
	switch v := value.(type) {
	case string:
		expr = v
	case float64:
		expr = strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		expr = v.String()
	case int:
		expr = strconv.Itoa(v)
	case int64:
		expr = strconv.FormatInt(v, 10)
	default:
		return nil, fmt.Errorf("it must be a number of GiB, with an operator or without")
	}
	op, rest := splitOp(strings.ToLower(expr), numberOps, "==")
	holds, err := sizeOp(op, rest)
	if err != nil {
		return nil, err
	}
	return func(d Disk) bool { return holds(float64(d.Size) / gib) }, nil
}

func sizeOp(op, rest string) (func(have float64) bool, error) {
	switch op {
	case "<range-in>":
		return sizeRange(rest)
	case "<or>":
		var any []float64
		for _, s := range alternatives(rest) {
			v, err := sizeValue(s)
			if err != nil {
				return nil, err
			}
			any = append(any, v)
		}
		return func(have float64) bool { return slices.Contains(any, have) }, nil
	}
	want, err := sizeValue(rest)
	if err != nil {
		return nil, err
	}
	switch op {
	case "=", ">=": // "=" means at least: Ironic's own reading
		return func(have float64) bool { return have >= want }, nil
	case "!=":
		return func(have float64) bool { return have != want }, nil
	case "<=":
		return func(have float64) bool { return have <= want }, nil
	case ">":
		return func(have float64) bool { return have > want }, nil
	case "<":
		return func(have float64) bool { return have < want }, nil
	}
	return func(have float64) bool { return have == want }, nil
}

// sizeRange reads "( 10 100 ]": a round bracket leaves its end out, a square one takes it in.
func sizeRange(s string) (func(float64) bool, error) {
	if len(s) < 2 || !strings.ContainsRune("([", rune(s[0])) || !strings.ContainsRune(")]", rune(s[len(s)-1])) {
		return nil, fmt.Errorf("a range is written like [ 10 100 )")
	}
	ends := strings.Fields(s[1 : len(s)-1])
	if len(ends) != 2 {
		return nil, fmt.Errorf("a range has two ends")
	}
	low, err := sizeValue(ends[0])
	if err != nil {
		return nil, err
	}
	high, err := sizeValue(ends[1])
	if err != nil {
		return nil, err
	}
	withLow, withHigh := s[0] == '[', s[len(s)-1] == ']'
	return func(have float64) bool {
		return (have > low || withLow && have == low) && (have < high || withHigh && have == high)
	}, nil
}

func sizeValue(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, fmt.Errorf("a size is a positive number of GiB")
	}
	return v, nil
}

func rotationalHint(value any) (func(Disk) bool, error) {
	want, ok := value.(bool)
	if s, isText := value.(string); isText {
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "t", "yes", "y", "on", "1":
			want, ok = true, true
		case "false", "f", "no", "n", "off", "0":
			want, ok = false, true
		}
	}
	if !ok {
		return nil, fmt.Errorf("it must be true or false")
	}
	return func(d Disk) bool { return d.Rotational == want }, nil
}
