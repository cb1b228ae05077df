package osdef

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Bounds of parameters. Linux takes no variable over 128 KiB, and a quarter of the stack for all.
const (
	maxName   = 64
	maxValue  = 64 << 10
	maxValues = 512 << 10
	maxCount  = 200
)

// Classes are values of parameters. Public ones are stored and shown; private ones are stored sealed and never shown; secret ones
// are stored nowhere.
type Classes struct {
	Public  map[string]string
	Private map[string]secret.Secret
	Secret  map[string]secret.Secret
}

// The classes, by the words that users read.
const (
	publicClass  = "public"
	privateClass = "private"
	secretClass  = "secret"
)

// Merge puts layers over each other: in each class the later ones win. From the lowest: the definition's defaults, those of its
// variant, what the instance has, what the request gives.
func Merge(layers ...Classes) Classes {
	out := Classes{Public: map[string]string{}, Private: map[string]secret.Secret{}, Secret: map[string]secret.Secret{}}
	for _, l := range layers {
		maps.Copy(out.Public, l.Public)
		maps.Copy(out.Private, l.Private)
		maps.Copy(out.Secret, l.Secret)
	}
	return out
}

// Names are the names of all classes, in order.
func (c Classes) Names() []string {
	out := slices.Concat(slices.Collect(maps.Keys(c.Public)), slices.Collect(maps.Keys(c.Private)), slices.Collect(maps.Keys(c.Secret)))
	slices.Sort(out)
	return slices.Compact(out)
}

// classesOf are the classes that have a name.
func (c Classes) classesOf(name string) (out []string) {
	if _, has := c.Public[name]; has {
		out = append(out, publicClass)
	}
	if _, has := c.Private[name]; has {
		out = append(out, privateClass)
	}
	if _, has := c.Secret[name]; has {
		out = append(out, secretClass)
	}
	return out
}

// Disjoint refuses names that are in more than one class. It is asked of what Merge gave: a request cannot make public what a
// default has private, nor the other way.
func (c Classes) Disjoint() error {
	var twice []string
	for _, name := range c.Names() {
		if in := c.classesOf(name); len(in) > 1 {
			twice = append(twice, name+" ("+strings.Join(in, ", ")+")")
		}
	}
	if len(twice) > 0 {
		return fault.New(fault.Invalid, "OS parameters are in more than one class, their defaults included: %s. Give each in one.", strings.Join(twice, "; "))
	}
	return nil
}

// Bounded judges names and values by themselves: what could not be in an environment, or would be too much for one.
func (c Classes) Bounded() error {
	names, total := c.Names(), 0
	if len(names) > maxCount {
		return fault.New(fault.TooLarge, "There are %d OS parameters: at most %d can be.", len(names), maxCount)
	}
	variables := map[string]string{}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
		if other, taken := variables[variable(name)]; taken {
			return fault.New(fault.Invalid, "The OS parameters %s and %s would both be %s in the environment of the scripts: leave one.", other, name, variable(name))
		}
		variables[variable(name)] = name
		value := c.value(name)
		if strings.ContainsRune(value, 0) {
			return fault.New(fault.Invalid, "The value of the OS parameter %s has a zero byte, which no environment can hold.", name)
		}
		if len(value) > maxValue {
			return fault.New(fault.TooLarge, "The value of the OS parameter %s has %d bytes: at most %d can be.", name, len(value), maxValue)
		}
		total += len(value)
	}
	if total > maxValues {
		return fault.New(fault.TooLarge, "The OS parameters have %d bytes together: at most %d can be.", total, maxValues)
	}
	return nil
}

// Check judges parameters for a definition: bounded, in one class each, and declared. Without a definition (nil) every name may be.
func (c Classes) Check(d *Definition) error {
	if err := c.Bounded(); err != nil {
		return err
	}
	if err := c.Disjoint(); err != nil {
		return err
	}
	names := c.Names()
	if d == nil || len(names) == 0 {
		return nil
	}
	if d.Version < withParameters {
		return fault.New(fault.Invalid, "The OS definition speaks version %d of the interface, which has no parameters: leave away %s.", d.Version, strings.Join(names, ", "))
	}
	unknown := slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(d.Parameters, func(p Parameter) bool { return p.Name == name })
	})
	if len(unknown) > 0 {
		return fault.New(fault.Invalid, "The OS definition has no parameters %s. %s", strings.Join(unknown, ", "), d.declared())
	}
	return nil
}

func (d *Definition) declared() string {
	if len(d.Parameters) == 0 {
		return "It has none at all."
	}
	var names []string
	for _, p := range d.Parameters {
		names = append(names, p.Name)
	}
	return "There are: " + strings.Join(names, ", ") + "."
}

// Missing are those of names that no class has, in order.
func (c Classes) Missing(names []string) (out []string) {
	for _, name := range names {
		if len(c.classesOf(name)) == 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// value is a parameter's, of whatever class.
func (c Classes) value(name string) string {
	if v, has := c.Public[name]; has {
		return v
	}
	if v, has := c.Private[name]; has {
		return v.Expose()
	}
	return c.Secret[name].Expose()
}

// checkName judges the name of a parameter.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return fault.New(fault.Invalid, "%.80q cannot be the name of an OS parameter: it has up to %d letters, digits and characters of '_-'.", name, maxName)
	}
	return nil
}

// variable is the name of a parameter in the environment. Source: ganeti-os-interface(7), "OSP_".
func variable(name string) string {
	return "OSP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// printable tells whether a list is a text: UTF-8 without control characters but those between words and lines.
func printable(content []byte) bool {
	for _, r := range string(content) {
		if r == utf8.RuneError || unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) {
			return false
		}
	}
	return true
}
