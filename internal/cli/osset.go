package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// osParameters are public and private parameters as flags have them. There is no flag for a value that is private: everybody on
// the host would see it.
type osParameters struct{ public, private []string }

func (p *osParameters) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&p.public, "parameter", nil, "NAME=VALUE of a public parameter; repeatable")
	f.StringArrayVar(&p.private, "private", nil, "NAME=FILE with the value of a private parameter; - for standard input, fd:N, env:NAME; repeatable")
}

func (p *osParameters) values(cmd *cobra.Command) (public map[string]any, private secret.Map, err error) {
	seen := map[string]bool{}
	once := func(name string) error {
		if seen[name] {
			return usagef("the parameter %s is given twice", oneLine(name))
		}
		seen[name] = true
		return nil
	}
	public = map[string]any{}
	for _, s := range p.public {
		name, v, err := pair(s)
		if err != nil {
			return nil, private, err
		}
		if err := refuseSecret(name, "--private "+name+"=FILE"); err != nil {
			return nil, private, err
		}
		if err := once(name); err != nil {
			return nil, private, err
		}
		public[name] = v
	}
	for _, s := range p.private {
		name, v, err := namedSecret(cmd, "private", s, parameterLimit)
		if err != nil {
			return nil, private, err
		}
		if err := once(name); err != nil {
			return nil, private, err
		}
		private = private.With(name, v.Expose())
	}
	return public, private, nil
}

func (a *app) osSet() *cobra.Command {
	var p osParameters
	var variant, description string
	var unset []string
	var hidden, blacklisted bool
	c := &cobra.Command{
		Use:   "set DEFINITION",
		Short: "Change default parameters and the state of an OS definition",
		Long: `Change default parameters and the state of an OS definition. Defaults of a variant go before those of all. Parameters of the class secret
have no defaults, for what is stored is not secret. A hidden definition is not listed, except for administrators; with a blacklisted
one only such machines are rebuilt as are installed with it.`,
		Example: `  ingot os set debootstrap --parameter filesystem=ext4
  ingot os set debian --variant 13 --parameter mirror=http://deb.example.org --private token=token.txt
  ingot os set debian --unset mirror --blacklisted`,
		Args: exactly("DEFINITION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			public, private, err := p.values(cmd)
			if err != nil {
				return err
			}
			var changes []wire.PatchOp
			for flag, v := range map[string]any{"description": description, "hidden": hidden, "blacklisted": blacklisted} {
				if cmd.Flags().Changed(flag) {
					changes = append(changes, client.Set("/"+flag, v))
				}
			}
			if len(public)+private.Len()+len(unset) > 0 {
				now, err := c.OSDefinition(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := missingDefaults(now, variant, unset); err != nil {
					return err
				}
				changes = append(changes, defaultsOS(now, variant, public, private, unset)...)
			}
			if len(changes) == 0 {
				return usagef("nothing to change: see ingot os set --help")
			}
			d, err := c.UpdateOSDefinition(cmd.Context(), args[0], changes)
			if err != nil {
				return err
			}
			return a.print(cmd, d.All, func(w io.Writer) { fmt.Fprintf(w, "changed OS definition %s\n", oneLine(d.Name)) })
		}),
	}
	p.flags(c)
	f := c.Flags()
	f.StringVar(&variant, "variant", "", "the parameters are defaults of this variant")
	f.StringArrayVar(&unset, "unset", nil, "name of a parameter that has no default any more; repeatable")
	f.StringVar(&description, "description", "", "a remark")
	f.BoolVar(&hidden, "hidden", false, "only administrators see it in lists")
	f.BoolVar(&blacklisted, "blacklisted", false, "it is only for rebuilds of what is installed with it")
	return c
}

// missingDefaults refuses to take defaults away that are not there, and says which are.
func missingDefaults(now *client.OSDefinition, variant string, unset []string) error {
	of := func(base, variants map[string]any, variant string) map[string]any {
		if variant == "" {
			return base
		}
		own, _ := variants[variant].(map[string]any)
		return own
	}
	has := func(variant string) []string {
		all := copied(of(now.OSParameters, now.VariantParameters, variant))
		maps.Copy(all, of(now.OSParametersPrivate, now.VariantParametersPrivate, variant))
		return sortedKeys(all)
	}
	named := func(variant string) string {
		if variant == "" {
			return "the OS definition " + oneLine(now.Name)
		}
		return "the variant " + oneLine(variant) + " of the OS definition " + oneLine(now.Name)
	}
	here := has(variant)
	var missing []string
	for _, name := range unset {
		if !slices.Contains(here, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	what := "none"
	if len(here) > 0 {
		what = listed(here)
	}
	err := usagef("%s has no default %s: it has %s", named(variant), oneLine(listed(missing)), oneLine(what))
	elsewhere := append([]string{""}, sortedKeys(now.VariantParameters)...)
	for _, other := range append(elsewhere, sortedKeys(now.VariantParametersPrivate)...) {
		if other == variant || !slices.Contains(has(other), missing[0]) {
			continue
		}
		if other == "" {
			return hint(err, "%s has it: leave --variant away", named(other))
		}
		return hint(err, "%s has it: --variant %s", named(other), oneLine(other))
	}
	return err
}

// defaultsOS are the changes that give and take defaults. Values that stay are sent as they were shown: private ones masked, which
// keeps them.
func defaultsOS(now *client.OSDefinition, variant string, public map[string]any, private secret.Map, unset []string) (out []wire.PatchOp) {
	given := private.Expose()
	for _, class := range []struct {
		all, ofVariants string
		base            map[string]any
		variants        map[string]any
		values          map[string]any
		private         bool
	}{
		{"/os_parameters", "/variant_parameters", now.OSParameters, now.VariantParameters, public, false},
		{"/os_parameters_private", "/variant_parameters_private", now.OSParametersPrivate, now.VariantParametersPrivate, given, true},
	} {
		path, whole := class.all, map[string]any{}
		values := map[string]any{}
		if variant == "" {
			values = copied(class.base)
		} else {
			path, whole = class.ofVariants, copied(class.variants)
			if old, ok := whole[variant].(map[string]any); ok {
				values = copied(old)
			}
		}
		before := len(values)
		for _, name := range unset {
			delete(values, name)
		}
		if len(class.values) == 0 && len(values) == before {
			continue
		}
		for k, v := range class.values {
			values[k] = v
		}
		var value any = values
		if variant != "" {
			whole[variant] = values
			value = whole
		}
		if class.private {
			value = secret.NewMap(value.(map[string]any))
		}
		out = append(out, client.Set(path, value))
	}
	return out
}

func copied(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
