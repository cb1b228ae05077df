package client

import (
	"net/netip"

	"ingot/internal/secret"
)

// OSInstall is what goes with metal.VerbActive and metal.VerbRebuild where a machine is installed by OS definition, and with what
// runs scripts of one. Zero values say nothing: a rebuild takes what the last deployment kept.
type OSInstall struct {
	Definition string            // name or UUID, and a variant behind a plus
	Force      bool              // a variant may be meant that the definition does not list
	Public     map[string]string // parameters that are stored and shown
	Private    map[string]secret.Secret
	Secret     map[string]secret.Secret
	Unset      []string // parameters that were given before and are not to be used
	Mode       string   // run, install or self_install
	Safe       *bool    // false: what would be confined is not
	Package    string   // URL of a personalization package
	NoPackage  bool     // the one that was given before is not to be used
	User       secret.Secret
	Password   secret.Secret // for that URL

	// Import is the URL of an export that is put on the disks, in the place of a new installation.
	Import                     string
	ImportUser, ImportPassword secret.Secret // for that URL
}

// into writes it into the body of a verb: the server stores the private values sealed, and those that are secret nowhere.
func (o *OSInstall) into(body map[string]any) {
	if o == nil {
		return
	}
	for key, text := range map[string]string{"os_definition": o.Definition, "execution_mode": o.Mode, "personalization_url": o.Package,
		"os_import_url": o.Import, "os_import_user": o.ImportUser.Expose(), "os_import_password": o.ImportPassword.Expose(),
		"personalization_user": o.User.Expose(), "personalization_password": o.Password.Expose()} {
		if text != "" {
			body[key] = text
		}
	}
	if o.NoPackage {
		body["personalization_url"] = nil
	}
	if o.Force {
		body["force_variant"] = true
	}
	if o.Safe != nil {
		body["safe_install"] = *o.Safe
	}
	public := map[string]any{}
	for name, v := range o.Public {
		public[name] = v
	}
	for _, name := range o.Unset { // of whatever class it was
		public[name] = nil
	}
	for key, values := range map[string]map[string]any{"os_parameters": public, "os_parameters_private": opened(o.Private), "os_parameters_secret": opened(o.Secret)} {
		if len(values) > 0 {
			body[key] = values
		}
	}
}

// hides tells whether there is something in it that nobody on the way may read.
func (o *OSInstall) hides() bool {
	if o == nil {
		return false
	}
	hidden := len(o.Private) + len(o.Secret)
	for _, v := range []secret.Secret{o.User, o.Password, o.ImportUser, o.ImportPassword} {
		if !v.Empty() {
			hidden++
		}
	}
	return hidden > 0
}

// sheltered: what is sent to the server cannot be read on the way.
func (c *Client) sheltered() bool {
	host := c.base.Hostname()
	a, err := netip.ParseAddr(host)
	return c.base.Scheme == "https" || host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

func opened(values map[string]secret.Secret) map[string]any {
	out := map[string]any{}
	for name, v := range values {
		out[name] = v.Expose()
	}
	return out
}
