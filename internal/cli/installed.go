package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
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

// installedBy is how a node's system was installed, as the server tells; nil: by no OS definition, package or mode.
func installedBy(n *client.Node) *metal.OSInstalled {
	info, _ := n.All["driver_internal_info"].(map[string]any)
	text, err := json.Marshal(info[metal.OSInstalledKey])
	var o *metal.OSInstalled
	if err != nil || json.Unmarshal(text, &o) != nil {
		return nil
	}
	return o
}

// notInstalledWith refuses to leave parameters away that the last deployment did not have: a name that is mistyped would leave in use
// what is not wanted any more. Who may not see how a node was installed is believed, and who asks once more for what has failed: that was
// noted when it was asked for.
func notInstalledWith(n *client.Node, asked *client.OSInstall) error {
	o := installedBy(n)
	if o == nil || asked == nil || n.State() == metal.DeployFailed {
		return nil
	}
	names := slices.Concat(sortedKeys(o.Parameters), o.Private, o.Again)
	slices.Sort(names)
	for _, name := range asked.Unset {
		if !slices.Contains(names, name) {
			return usagef("parameter %s is to be left away, and the last deployment of node %s had none of that name; it had %s", oneLine(name), n.Label(), oneLine(cmp.Or(listed(names), "none")))
		}
	}
	return nil
}

// tellInstalled is what follows the fields of a node that was installed by OS definition, package or mode.
func tellInstalled(w io.Writer, n *client.Node) {
	o := installedBy(n)
	if o == nil {
		return
	}
	fmt.Fprintln(w)
	for _, s := range installedSentences(o) {
		fmt.Fprintln(w, oneLine(s))
	}
}
