package api

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"

	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// osDefinitions is the resource of OS definitions. Its files come and go by paths of their own.
var osDefinitions = resource[osdef.Record, wire.OSDefinition]{
	word: "OS definition", key: "os_definitions", path: "os_definitions", fields: wire.OSDefinitionFields, needs: []string{"name"},
	view: (*call).osView, uuid: func(r *osdef.Record) *string { return &r.UUID },
	setters: map[string]setter[osdef.Record]{
		"name":                       text(func(r *osdef.Record) *string { return &r.Name }),
		"description":                text(func(r *osdef.Record) *string { return &r.Description }),
		"hidden":                     flag(func(r *osdef.Record) *bool { return &r.Hidden }),
		"blacklisted":                flag(func(r *osdef.Record) *bool { return &r.Blacklisted }),
		"os_parameters":              ofAll("os_parameters", publicDefaults),
		"os_parameters_private":      ofAll("os_parameters_private", privateDefaults),
		"variant_parameters":         ofVariants("variant_parameters", publicDefaults),
		"variant_parameters_private": ofVariants("variant_parameters_private", privateDefaults),
	},
}

// class is one of the classes of default parameters: how its values are read and changed.
type class struct {
	get func(osdef.Classes) map[string]any
	set func(*osdef.Classes, map[string]string)
}

var publicDefaults = class{
	get: func(c osdef.Classes) map[string]any {
		out := make(map[string]any, len(c.Public))
		for k, v := range c.Public {
			out[k] = v
		}
		return out
	},
	set: func(c *osdef.Classes, values map[string]string) { c.Public = values },
}

var privateDefaults = class{
	get: func(c osdef.Classes) map[string]any { // a patch needs the real values: it may change one beside another
		out := make(map[string]any, len(c.Private))
		for k, v := range c.Private {
			out[k] = v.Expose()
		}
		return out
	},
	set: func(c *osdef.Classes, values map[string]string) {
		c.Private = make(map[string]secret.Secret, len(values))
		for k, v := range values {
			c.Private[k] = secret.New(v)
		}
	},
}

// change puts what a caller gave in the place of the defaults of a variant. A mask over a value that is there keeps it.
func (k class) change(r *osdef.Record, field, variant string, given map[string]any) error {
	c := r.Defaults[variant]
	if err := refuseMasked(given, k.get(c), field); err != nil {
		return err
	}
	values, err := parameterTexts(field, given)
	if err != nil {
		return err
	}
	k.set(&c, values)
	defaults := maps.Clone(r.Defaults)
	if defaults == nil {
		defaults = map[string]osdef.Classes{}
	}
	if defaults[variant] = c; len(c.Public)+len(c.Private) == 0 {
		delete(defaults, variant)
	}
	r.Defaults = defaults
	return nil
}

// parameterTexts are the values of parameters, which are texts: an environment has nothing else.
func parameterTexts(field string, given map[string]any) (map[string]string, error) {
	out := make(map[string]string, len(given))
	for name, v := range given {
		s, ok := v.(string)
		if !ok {
			return nil, invalid("Invalid %s: the value of %s must be a string.", field, clip(name))
		}
		out[name] = s
	}
	return out, nil
}

// ofAll is the field of the defaults for every variant.
func ofAll(field string, k class) setter[osdef.Record] {
	return setter[osdef.Record]{
		get: func(r *osdef.Record) any { return k.get(r.Defaults[""]) },
		set: func(r *osdef.Record, v any) error {
			given, _ := v.(map[string]any)
			return k.change(r, field, "", given)
		},
	}
}

// ofVariants is the field of the defaults of single variants, by their names.
func ofVariants(field string, k class) setter[osdef.Record] {
	get := func(r *osdef.Record) map[string]any {
		out := map[string]any{}
		for variant, c := range r.Defaults {
			if values := k.get(c); variant != "" && len(values) > 0 {
				out[variant] = values
			}
		}
		return out
	}
	return setter[osdef.Record]{
		get: func(r *osdef.Record) any { return get(r) },
		set: func(r *osdef.Record, v any) error {
			given, _ := v.(map[string]any)
			for variant := range get(r) {
				if given[variant] == nil {
					if err := k.change(r, field, variant, nil); err != nil {
						return err
					}
				}
			}
			for variant, v := range given {
				values, ok := v.(map[string]any)
				if !ok || variant == "" {
					return invalid("Invalid %s: it has an object of parameters for each variant, by its name.", field)
				}
				if err := k.change(r, field, variant, values); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (c *call) osView(r *osdef.Record) wire.OSDefinition {
	w := wire.OSDefinition{UUID: r.UUID, Name: r.Name, Description: r.Description, Digest: r.Digest, Size: int(r.Size), APIVersion: r.Definition.Version,
		Variants: r.Definition.Variants, Scripts: r.Definition.Scripts, Trusted: r.Trusted(), TrustedBy: r.TrustedBy, Hidden: r.Hidden, Blacklisted: r.Blacklisted,
		Parameters: []any{}, TrustHistory: []any{}, OSParameters: publicDefaults.get(r.Defaults[""]), OSParametersPrivate: maskedAll(privateDefaults.get(r.Defaults[""])),
		VariantParameters: map[string]any{}, VariantParametersPrivate: map[string]any{},
		CreatedAt: wire.Time{Time: r.CreatedAt}, UpdatedAt: wire.Time{Time: r.UpdatedAt}, Links: wire.Links(c.base(), "os_definitions/"+r.UUID)}
	if w.Trusted {
		w.TrustedAt = wire.Time{Time: r.TrustedAt}
	}
	for _, p := range r.Definition.Parameters {
		w.Parameters = append(w.Parameters, p)
	}
	for _, e := range r.Trusts {
		w.TrustHistory = append(w.TrustHistory, map[string]any{"at": wire.Time{Time: e.At}, "who": e.Who, "digest": e.Digest, "trusted": e.Trusted, "request": e.Request})
	}
	for variant, d := range r.Defaults {
		if variant == "" {
			continue
		}
		if values := publicDefaults.get(d); len(values) > 0 {
			w.VariantParameters[variant] = values
		}
		if values := privateDefaults.get(d); len(values) > 0 {
			w.VariantParametersPrivate[variant] = maskedAll(values)
		}
	}
	return w
}

// maskedAll masks every value.
func maskedAll(values map[string]any) map[string]any {
	for k := range values {
		values[k] = secret.Mask
	}
	return values
}

func (c *call) listOS() (answer, error) {
	page, shape, err := listing(c, wire.OSDefinitionFields, false)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.OSDefinitions(c.r.Context(), c.caller(), page)
	if err != nil {
		return answer{}, err
	}
	return osDefinitions.page(c, page, shape, found, false), nil
}

func (c *call) showOS() (answer, error) {
	return osDefinitions.show(c, func() (*osdef.Record, error) { return c.s.OSDefinition(c.r.Context(), c.r.PathValue("definition")) })
}

func (c *call) createOS() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	packed, err := bundleOf(body)
	if err != nil {
		return answer{}, err
	}
	r := &osdef.Record{}
	if body["name"] == nil {
		return answer{}, invalid("Schema error for OS definition: 'name' is a required property.")
	}
	for _, key := range slices.Sorted(maps.Keys(body)) {
		if key == "bundle" {
			continue
		}
		if err := noSecretDefault(key); err != nil {
			return answer{}, err
		}
		if err := osDefinitions.give(c, r, key, body[key]); err != nil {
			return answer{}, err
		}
	}
	made, err := c.s.CreateOSDefinition(c.r.Context(), c.caller(), r, packed)
	if err != nil {
		return answer{}, err
	}
	return osDefinitions.made(c, made), nil
}

// noSecretDefault says why there is no such field.
func noSecretDefault(key string) error {
	if key == "os_parameters_secret" || key == "variant_parameters_secret" {
		return invalid("OS parameters of the class secret have no defaults: what is stored is not secret. Give them with each deployment.")
	}
	return nil
}

// bundleOf takes packed files out of a body.
func bundleOf(args map[string]any) ([]byte, error) {
	text, err := textArg(args, "bundle", true)
	if err != nil {
		return nil, err
	}
	packed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, invalid("Invalid bundle: it must be a tar file in base64.")
	}
	return packed, nil
}

func (c *call) patchOS() (answer, error) {
	list, err := parsePatch(c.body, wire.OSDefinitionFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateOSDefinition(c.r.Context(), c.caller(), c.r.PathValue("definition"), func(r *osdef.Record) error {
		return osDefinitions.change(r, list)
	})
	if err != nil {
		return answer{}, err
	}
	return osDefinitions.full(c, changed), nil
}

func (c *call) deleteOS() (answer, error) {
	if err := c.s.DeleteOSDefinition(c.r.Context(), c.caller(), c.r.PathValue("definition")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// bundleOS answers with the files as they are. They are a stranger's: the type is one that no browser runs.
func (c *call) bundleOS() (answer, error) {
	_, b, err := c.s.OSBundle(c.r.Context(), c.r.PathValue("definition"))
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, raw: b.Tar(), kind: "application/x-tar", private: true}, nil
}

func (c *call) replaceOS() (answer, error) {
	args, err := c.args("bundle")
	if err != nil {
		return answer{}, err
	}
	packed, err := bundleOf(args)
	if err != nil {
		return answer{}, err
	}
	r, err := c.s.ReplaceOSBundle(c.r.Context(), c.caller(), c.r.PathValue("definition"), packed)
	if err != nil {
		return answer{}, err
	}
	return osDefinitions.full(c, r), nil
}

func (c *call) trustOS() (answer, error) {
	args, err := c.args("digest")
	if err != nil {
		return answer{}, err
	}
	digest, err := textArg(args, "digest", true)
	if err != nil {
		return answer{}, err
	}
	r, err := c.s.TrustOSDefinition(c.r.Context(), c.caller(), c.r.PathValue("definition"), digest)
	if err != nil {
		return answer{}, err
	}
	return osDefinitions.full(c, r), nil
}

func (c *call) distrustOS() (answer, error) {
	if err := c.s.DistrustOSDefinition(c.r.Context(), c.caller(), c.r.PathValue("definition")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
