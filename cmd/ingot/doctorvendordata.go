package main

import (
	"log/slog"
	"strings"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/vendordata"
)

// examineVendordata reads what a start reads, and asks no target: "ingot vendordata test" does. Without targets and a file there is
// no finding.
func examineVendordata(c config.Config) []metal.Finding {
	const check = "vendordata"
	v := c.Vendordata
	if len(v.VendordataDynamicTargets) == 0 && v.VendordataJSONFilePath == "" {
		return nil
	}
	quiet := slog.New(slog.DiscardHandler)
	o, err := proveVendordata(c, quiet)
	if err == nil {
		var s *vendordata.Service
		s, err = vendordata.New(v, o, quiet)
		s.Close()
	}
	if err != nil {
		return []metal.Finding{wrong(metal.Fail, check, strings.ReplaceAll(err.Error(), "\n", "; "), "Mend it: a server does not start with it. docs/config.md lists the options.")}
	}
	var out []metal.Finding
	if len(v.VendordataDynamicTargets) > 0 && !v.Dynamic() {
		out = append(out, wrong(metal.Warn, check, "There are vendordata targets, and nobody asks them.", "Add DynamicJSON to [api] vendordata_providers."))
	}
	w := v.Examine(o)
	if len(w.Unproved) > 0 {
		out = append(out, wrong(metal.Warn, check, "These vendordata targets cannot know who asks them: "+strings.Join(w.Unproved, ", ")+".",
			"Show them: a token ([vendordata_dynamic_auth]), a signature or a client certificate. Otherwise whoever reaches them learns what they tell."))
	}
	if len(w.Plain) > 0 {
		out = append(out, wrong(metal.Warn, check, "These vendordata targets are asked by http: "+strings.Join(w.Plain, ", ")+".",
			"Make them https: user data and answers can be read and changed on the way."))
	}
	if len(out) == 0 {
		out = append(out, fine(check, "The configuration is in order."))
	}
	return out
}
