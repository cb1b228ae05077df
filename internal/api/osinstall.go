package api

import (
	"maps"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// hiddenArgs are in the body only, and only where nobody else reads it: a URL is in logs and histories.
var hiddenArgs = []string{"os_parameters_private", "os_parameters_secret", "personalization_user", "personalization_password", "os_import_user", "os_import_password"}

// readOS reads what a verb says of OS definitions; nil: nothing.
func (c *call) readOS(args map[string]any) (*ops.OSInstall, error) {
	for _, name := range hiddenArgs {
		if c.query.Has(name) {
			return nil, invalid("%s is taken in the body only.", name)
		}
		if args[name] != nil && !sheltered(c.r, c.o.PublicEndpoint) {
			return nil, invalid("%s came over plain http, where others can read it: use https, and change a value that was secret. Give the server a certificate, or set public_endpoint to the https URL of what ends TLS in front of it.", name)
		}
	}
	o := &ops.OSInstall{Credentials: map[string]secret.Secret{}, ImportCredentials: map[string]secret.Secret{}}
	said := false
	for _, t := range []struct {
		name string
		into *string
	}{{"os_definition", &o.Definition}, {"execution_mode", &o.Mode}, {"personalization_url", &o.Package}, {"os_import_url", &o.Import}} {
		text, err := textArg(args, t.name, false)
		if err != nil {
			return nil, err
		}
		*t.into, said = text, said || text != ""
	}
	if v, given := args["personalization_url"]; given && v == nil {
		o.NoPackage, said = true, true
	}
	for prefix, into := range map[string]map[string]secret.Secret{"personalization_": o.Credentials, "os_import_": o.ImportCredentials} {
		for _, as := range []string{"user", "password"} {
			text, err := textArg(args, prefix+as, false)
			if err != nil {
				return nil, err
			}
			if text != "" {
				into[as], said = secret.New(text), true
			}
		}
	}
	for name, keep := range map[string]func(bool){"safe_install": func(b bool) { o.Safe = &b }, "force_variant": func(b bool) { o.Force = b }} {
		if args[name] == nil {
			continue
		}
		b, ok := wire.ParseBool(args[name])
		if !ok {
			return nil, invalid("Invalid input for %s: it must be true or false.", name)
		}
		keep(b)
		said = true
	}
	for _, k := range []struct {
		name string
		keep func(map[string]string)
	}{
		{"os_parameters", func(m map[string]string) { o.Parameters.Public = m }},
		{"os_parameters_private", func(m map[string]string) { o.Parameters.Private = wrapped(m) }},
		{"os_parameters_secret", func(m map[string]string) { o.Parameters.Secret = wrapped(m) }},
	} {
		given, unset, err := readParameters(k.name, args[k.name])
		if err != nil {
			return nil, err
		}
		k.keep(given)
		o.Unset = append(o.Unset, unset...)
		said = said || args[k.name] != nil
	}
	if !said {
		return nil, nil
	}
	return o, nil
}

// readParameters reads one class. Null takes a value away that is stored.
func readParameters(name string, v any) (given map[string]string, unset []string, err error) {
	if v == nil {
		return nil, nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, nil, invalid("Invalid %s: it must be an object of names and strings, in the body.", name)
	}
	rest := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if m[key] == nil {
			unset = append(unset, key)
			continue
		}
		rest[key] = m[key]
	}
	given, err = parameterTexts(name, rest)
	return given, unset, err
}

func wrapped(m map[string]string) map[string]secret.Secret {
	out := make(map[string]secret.Secret, len(m))
	for k, v := range m {
		out[k] = secret.New(v)
	}
	return out
}

// checkOS: only what installs a machine is told how, and names can be judged before anything else is looked at. A service may run
// scripts, too, with parameters of its own.
func (rq *request) checkOS() error {
	switch {
	case rq.os == nil:
		return nil
	case rq.verb == metal.VerbService && rq.os.ParametersOnly():
	case rq.verb != metal.VerbActive && rq.verb != metal.VerbDeploy && rq.verb != metal.VerbRebuild:
		return invalid("os_definition and what goes with it are only valid when setting target provision state to active or rebuild.")
	case rq.os.Force && rq.os.Definition == "" && rq.os.Mode != osdef.ModeRun: // that mode refuses it among others
		return invalid("force_variant goes with os_definition, which names the variant.")
	case nobodys(rq.os.Credentials):
		return invalid("personalization_password goes with personalization_user, which is missing.")
	case nobodys(rq.os.ImportCredentials):
		return invalid("os_import_password goes with os_import_user, which is missing.")
	case rq.os.Import == "" && len(rq.os.ImportCredentials) > 0:
		return invalid("os_import_user and os_import_password go with os_import_url.")
	case rq.os.Package == "" && len(rq.os.Credentials) > 0 && rq.verb != metal.VerbRebuild && rq.node.ProvisionState != metal.DeployFailed:
		return invalid("personalization_user and personalization_password go with personalization_url.")
	}
	if rq.os.Mode != "" {
		if err := osdef.CheckMode(rq.os.Mode); err != nil {
			return err
		}
	}
	return osdef.Merge(rq.os.Parameters).Check(nil)
}

// nobodys tells whether there is a password without its user.
func nobodys(credentials map[string]secret.Secret) bool {
	return credentials["user"].Empty() && !credentials["password"].Empty()
}
