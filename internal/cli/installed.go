package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// installedSentences tell how a node's system was installed. Of parameters that are private or secret there are names.
func installedSentences(o *metal.OSInstalled) []string {
	head := "Installed"
	if o.Definition != "" {
		head += " by OS definition " + o.Definition
		if o.Variant != "" {
			head += "+" + o.Variant
		}
		head += " (" + shortDigest(o.Digest) + ")"
	}
	head += ", mode " + o.Mode
	if !o.Safe {
		head += ", not confined"
	}
	out := []string{head + ", " + o.At.Local().Format(time.DateTime) + "."}
	if o.Changed {
		out = append(out, "The definition has other files now: a rebuild takes those.")
	}
	if o.Package != "" {
		out = append(out, "Package: "+o.Package+".")
	}
	var public []string
	for _, name := range sortedKeys(o.Parameters) {
		public = append(public, name+"="+o.Parameters[name])
	}
	for _, class := range []struct {
		what  string
		names []string
	}{{"Public parameters", public}, {"Private parameters, which are kept", o.Private}, {"Secret parameters, which a rebuild needs again", o.Again}} {
		if len(class.names) > 0 {
			out = append(out, class.what+": "+strings.Join(class.names, ", ")+".")
		}
	}
	return out
}

// tellInstalled is what follows the fields of a node that was installed by OS definition, package or mode.
func tellInstalled(w io.Writer, n *client.Node) {
	info, _ := n.All["driver_internal_info"].(map[string]any)
	text, err := json.Marshal(info[metal.OSInstalledKey])
	var o *metal.OSInstalled
	if err != nil || json.Unmarshal(text, &o) != nil || o == nil {
		return
	}
	fmt.Fprintln(w)
	for _, s := range installedSentences(o) {
		fmt.Fprintln(w, oneLine(s))
	}
}
