package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gopkg.in/ini.v1"
)

// fileLimit is bytes of a configuration file.
const fileLimit = 1 << 20

// FromDefault is the source of what nobody set.
const FromDefault = "default"

// Loaded is a configuration and where each value came from.
type Loaded struct {
	Config  Config
	sources map[string]string // by option.name; absent: FromDefault
}

// Setting is one option as it is in force; a secret's Value is masked.
type Setting struct {
	Section, Option, Value string
	Source                 string // FromDefault, a file's path, a variable's name, or what Set was told
}

// Load takes the defaults, then the file (none if ""), then the variables of environ ("NAME=value", as
// os.Environ gives them): later wins. The error lists everything that is wrong, one line each.
func Load(file string, environ []string) (*Loaded, error) {
	l := &Loaded{Config: Defaults(), sources: map[string]string{}}
	var wrong []error
	if file != "" {
		wrong = append(wrong, l.readFile(file)...)
	}
	wrong = append(wrong, l.readEnvironment(environ)...)
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return l, nil
}

// Set gives an option a value from elsewhere, such as a flag; source is a phrase like "--listen".
func (l *Loaded) Set(section, key, value, source string) error {
	all := options(&l.Config)
	for _, o := range all {
		if o.section == section && o.key == key {
			return l.put(o, value, source)
		}
	}
	return fmt.Errorf("%s: %s", source, unknown(all, section, key))
}

// Settings lists every option in the order of the documentation.
func (l *Loaded) Settings() []Setting {
	var out []Setting
	for _, o := range options(&l.Config) {
		source := l.sources[o.name()]
		if source == "" {
			source = FromDefault
		}
		out = append(out, Setting{Section: o.section, Option: o.key, Value: o.text(), Source: source})
	}
	return out
}

// Source tells where an option's value came from: whether a person set it.
func (l *Loaded) Source(section, key string) string {
	if s := l.sources["["+section+"] "+key]; s != "" {
		return s
	}
	return FromDefault
}

func (l *Loaded) put(o *option, value, source string) error {
	if err := o.parse(value); err != nil {
		return fmt.Errorf("%s: %s: %w", source, o.name(), err)
	}
	l.sources[o.name()] = source
	return nil
}

// readFile reads upstream's form: [section], option = value, comments with # or ; on lines of their own. A
// "#" in a value is part of it, and nothing is interpolated.
func (l *Loaded) readFile(name string) []error {
	f, err := os.Open(name)
	if err != nil {
		return []error{err}
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return []error{fmt.Errorf("read %s: %w", name, err)}
	}
	if len(text) > fileLimit {
		return []error{fmt.Errorf("%s is larger than 1 MiB: is it a configuration file?", name)}
	}
	doc, err := ini.LoadSources(ini.LoadOptions{IgnoreInlineComment: true, IgnoreContinuation: true}, text)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", name, misread(text, err))}
	}
	all := options(&l.Config)
	var wrong []error
	for _, section := range doc.Sections() {
		for _, key := range section.Keys() {
			i := slices.IndexFunc(all, func(o *option) bool { return o.section == section.Name() && o.key == key.Name() })
			if i < 0 {
				wrong = append(wrong, fmt.Errorf("%s: %s", name, unknown(all, section.Name(), key.Name())))
				continue
			}
			if err := l.put(all[i], key.Value(), name); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	return wrong
}

// misread says which line is none of a configuration file, and not what is in it: that may be a password.
func misread(text []byte, err error) error {
	var odd ini.ErrDelimiterNotFound
	if !errors.As(err, &odd) {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) == strings.TrimSpace(odd.Line) {
			return fmt.Errorf("line %d is neither [section] nor option = value", i+1)
		}
	}
	return errors.New("a line is neither [section] nor option = value")
}

// readEnvironment reads INGOT_SECTION__OPTION=value.
func (l *Loaded) readEnvironment(environ []string) []error {
	all := options(&l.Config)
	var wrong []error
	for _, e := range environ {
		variable, value, _ := strings.Cut(e, "=")
		section, key, two := strings.Cut(strings.TrimPrefix(variable, prefix), "__")
		if !strings.HasPrefix(variable, prefix) || !two {
			continue
		}
		i := slices.IndexFunc(all, func(o *option) bool { return o.variable() == variable })
		if i < 0 {
			best := slices.MinFunc(all, func(a, b *option) int { return edits(a.variable(), variable) - edits(b.variable(), variable) })
			wrong = append(wrong, fmt.Errorf("%s: there is no option %s in a section %s; the nearest is %s",
				variable, strings.ToLower(key), strings.ToLower(section), best.variable()))
			continue
		}
		if err := l.put(all[i], value, variable); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}
