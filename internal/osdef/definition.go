package osdef

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// The files of a definition. Source: ganeti-os-interface(7), "REFERENCE", and Ganeti's design-os.rst.
const (
	versionFile    = "ganeti_api_version"
	variantsFile   = "variants.list"
	parametersFile = "parameters.list"
	untrustedDir   = "untrusted/"
	oldUntrusted   = "create_untrusted" // Ganeti 2.13's name of untrusted/create
)

// known are the versions of the interface that we speak. Source: ganeti-os-interface(7).
var known = []int{10, 15, 20}

const (
	withVariants   = 15
	withParameters = 20
)

// Action is what a script is run for; its word is the script's name.
type Action string

// The actions.
const (
	Create Action = "create"
	Export Action = "export"
	Import Action = "import"
	Rename Action = "rename"
	Verify Action = "verify"
)

// Definition is what the files of a bundle say.
type Definition struct {
	Versions   []int       `json:"versions"` // as the definition lists them
	Version    int         `json:"version"`  // the newest that both sides know: this one is spoken
	Variants   []string    `json:"variants"`
	Parameters []Parameter `json:"parameters"`
	Scripts    []string    `json:"scripts"` // paths of the scripts there are, in order
}

// Parameter is one that a definition declares.
type Parameter struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Definition reads what the files say, and refuses what could not be used.
func (b *Bundle) Definition() (*Definition, error) {
	var d Definition
	if err := d.versions(b); err != nil {
		return nil, err
	}
	for _, read := range []func(*Bundle) error{d.variants, d.parameters, d.scripts} {
		if err := read(b); err != nil {
			return nil, err
		}
	}
	return &d, nil
}

func (d *Definition) versions(b *Bundle) error {
	f, found := b.File(versionFile)
	if !found {
		return fault.New(fault.Invalid, "The OS definition has no file %s: it lists the versions of the interface, one a line.", versionFile)
	}
	for _, l := range lines(f.Content) {
		v, err := strconv.Atoi(l)
		if err != nil {
			return fault.New(fault.Invalid, "The file %s of the OS definition has a line %.40q: each is a whole number.", versionFile, l)
		}
		d.Versions = append(d.Versions, v)
		if slices.Contains(known, v) {
			d.Version = max(d.Version, v)
		}
	}
	if d.Version == 0 {
		return fault.New(fault.Invalid, "The file %s of the OS definition names none of the versions that this server knows: %s.", versionFile, listed(known))
	}
	return nil
}

func (d *Definition) variants(b *Bundle) error {
	f, found := b.File(variantsFile)
	if !found || d.Version < withVariants {
		return nil
	}
	for _, v := range lines(f.Content) {
		if !variantName.MatchString(v) {
			return fault.New(fault.Invalid, "The file %s of the OS definition names a variant %.80q: one has up to 64 letters, digits and characters of '._+-', and begins with a letter or digit.", variantsFile, v)
		}
		if slices.Contains(d.Variants, v) {
			return fault.New(fault.Invalid, "The file %s of the OS definition names the variant %s twice.", variantsFile, v)
		}
		d.Variants = append(d.Variants, v)
	}
	return nil
}

func (d *Definition) parameters(b *Bundle) error {
	if d.Version < withParameters {
		return nil
	}
	f, found := b.File(parametersFile)
	if !found {
		return fault.New(fault.Invalid, "The OS definition has no file %s, which version %d of the interface demands: it may be empty.", parametersFile, d.Version)
	}
	if !printable(f.Content) {
		return fault.New(fault.Invalid, "The file %s of the OS definition is not a text in UTF-8.", parametersFile)
	}
	variables := map[string]string{}
	for _, l := range lines(f.Content) {
		name, description := l, ""
		if i := strings.IndexAny(l, " \t"); i > 0 {
			name, description = l[:i], strings.TrimSpace(l[i:])
		}
		if err := checkName(name); err != nil {
			return fault.Wrap(fault.Invalid, err, "The file %s of the OS definition: %s", parametersFile, public(err))
		}
		if other, taken := variables[variable(name)]; taken {
			return fault.New(fault.Invalid, "The file %s of the OS definition has the parameters %s and %s, and both would be %s in the environment.", parametersFile, other, name, variable(name))
		}
		variables[variable(name)] = name
		d.Parameters = append(d.Parameters, Parameter{Name: name, Description: description})
	}
	return nil
}

// scripts looks for the scripts. One that is there must be executable, whether it is needed or not.
func (d *Definition) scripts(b *Bundle) error {
	for _, at := range []string{"create", oldUntrusted, "export", "import", "rename", "verify",
		untrustedDir + "create", untrustedDir + "export", untrustedDir + "import", untrustedDir + "rename"} {
		f, found := b.File(at)
		switch {
		case !found:
			continue
		case !f.Executable:
			return fault.New(fault.Invalid, "The file %s of the OS definition is not executable: chmod +x it.", at)
		case len(bytes.TrimSpace(f.Content)) == 0:
			return fault.New(fault.Invalid, "The file %s of the OS definition is empty.", at)
		}
		d.Scripts = append(d.Scripts, at)
	}
	if d.has(oldUntrusted) && d.has(untrustedDir+"create") {
		return fault.New(fault.Invalid, "The OS definition has both %s and %screate, which are two names for one script: leave one.", oldUntrusted, untrustedDir)
	}
	if !d.has("create") && d.untrusted(Create) == "" {
		return fault.New(fault.Invalid, "The OS definition has no script create, and no %screate or %s either: one of them installs.", untrustedDir, oldUntrusted)
	}
	for _, a := range []Action{Export, Import, Rename} {
		if !d.has(string(a)) && d.untrusted(a) == "" {
			return fault.New(fault.Invalid, "The OS definition has no script %s.", a)
		}
	}
	if d.Version >= withParameters && !d.has("verify") {
		return fault.New(fault.Invalid, "The OS definition has no script verify, which version %d of the interface demands.", d.Version)
	}
	return nil
}

// Verifies tells whether the definition judges parameters before they are used.
func (d *Definition) Verifies() bool { return d.Version >= withParameters && d.has(string(Verify)) }

func (d *Definition) has(script string) bool { return slices.Contains(d.Scripts, script) }

// untrusted is the path of the script for a, of the part that is confined; "" for none.
func (d *Definition) untrusted(a Action) string {
	for _, at := range []string{untrustedDir + string(a), oldUntrusted} {
		if d.has(at) && (at != oldUntrusted || a == Create) {
			return at
		}
	}
	return ""
}

// Part is a script to run, and how.
type Part struct {
	Script   string
	Confined bool
}

// Parts are the scripts that run for an action, at the same time if there are two. Those outside of untrusted/ run only where the
// definition is trusted; verify is always confined. A definition that is not trusted and has nothing for the
// action but what needs trust is a fault.
func (d *Definition) Parts(a Action, trusted bool) ([]Part, error) {
	if a == Verify {
		if d.Version < withParameters || !d.has("verify") {
			return nil, nil
		}
		return []Part{{Script: "verify", Confined: true}}, nil
	}
	var parts []Part
	if trusted && d.has(string(a)) {
		parts = append(parts, Part{Script: string(a)})
	}
	if at := d.untrusted(a); at != "" {
		parts = append(parts, Part{Script: at, Confined: true})
	}
	if len(parts) == 0 {
		return nil, fault.New(fault.Invalid, "The script %s of the OS definition runs only if the definition is trusted, and it is not: an administrator can trust it, or it can have %s%s, which runs confined.", a, untrustedDir, a)
	}
	return parts, nil
}

// Streamed is the one script that runs for Export or Import where there could be two. A dump has one stream, and whoever imports it must
// read the form that was written: so it is the confined one wherever there is one, whether the definition is trusted or not.
func (d *Definition) Streamed(a Action, trusted bool) (Part, error) {
	parts, err := d.Parts(a, trusted)
	if err != nil {
		return Part{}, err
	}
	return parts[len(parts)-1], nil
}

// Variant judges the variant that somebody chose, "" for none. force lets one through that the definition does not list.
func (d *Definition) Variant(chosen string, force bool) (string, error) {
	switch {
	case len(d.Variants) == 0 && chosen == "":
		return "", nil
	case len(d.Variants) == 0:
		return "", fault.New(fault.Invalid, "The OS definition has no variants: leave +%s away.", chosen)
	case chosen == "":
		return "", fault.New(fault.Invalid, "The OS definition has variants, and one must be chosen: %s. Write it behind the name, as NAME+%s.", strings.Join(d.Variants, ", "), d.Variants[0])
	case slices.Contains(d.Variants, chosen):
		return chosen, nil
	case !variantName.MatchString(chosen):
		return "", fault.New(fault.Invalid, "%.80q cannot be the name of a variant.", chosen)
	case force:
		return chosen, nil
	}
	return "", fault.New(fault.Invalid, "The OS definition has no variant %s. There are: %s.", chosen, strings.Join(d.Variants, ", "))
}

// Split takes "name+variant" apart, at the first plus.
func Split(name string) (definition, variant string, err error) {
	definition, variant, plus := strings.Cut(name, "+")
	if plus && variant == "" {
		return "", "", fault.New(fault.Invalid, "%.80q names no variant behind the plus.", name)
	}
	return definition, variant, CheckName(definition)
}

var (
	definitionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	variantName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
)

// CheckName judges the name of a definition.
func CheckName(name string) error {
	if !definitionName.MatchString(name) {
		return fault.New(fault.Invalid, "%.80q cannot be the name of an OS definition: it has up to 64 letters, digits and characters of '._-', and begins with a letter or digit.", name)
	}
	return nil
}

func listed(numbers []int) string {
	var out []string
	for _, n := range numbers {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ", ")
}

func public(err error) string {
	if s, ok := fault.PublicOf(err); ok {
		return s
	}
	return fmt.Sprint(err)
}
