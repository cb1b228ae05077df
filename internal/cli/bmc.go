package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/wire"
)

// Probe is what a BMC shows to somebody without credentials.
type Probe struct {
	URL          string     `json:"url"`
	Version      string     `json:"redfish_version,omitempty"` // "1.17.0"; "": what answers is no Redfish service
	Vendor       string     `json:"vendor,omitempty"`
	Product      string     `json:"product,omitempty"`
	UUID         string     `json:"uuid,omitempty"`
	AuthRequired bool       `json:"auth_required"`
	Fingerprint  string     `json:"fingerprint,omitempty"` // SHA-256 of the certificate in hex; "" without TLS
	Subject      string     `json:"certificate_subject,omitempty"`
	Issuer       string     `json:"certificate_issuer,omitempty"`
	NotAfter     *time.Time `json:"certificate_not_after,omitempty"`
	Trusted      bool       `json:"certificate_trusted"` // by this machine's roots
	Systems      []string   `json:"systems,omitempty"`   // its machines, where it lists them to anybody
}

func (a *app) bmc() *cobra.Command {
	return a.online(a.group("bmc", "Look at BMCs", a.bmcProbe()))
}

func (a *app) bmcProbe() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "probe URL",
		Short: "Show what a BMC says of itself without a password",
		Long: `Show what a BMC says of itself without a password: product, Redfish version, certificate.

With --pin the certificate's fingerprint is stored in the node, and from then on the server trusts only that
certificate for this BMC. Compare the fingerprint with what you know first: the probe itself trusts any.`,
		Example: `  ingot bmc probe https://192.0.2.10
  ingot bmc probe https://192.0.2.10 --pin rack1-u3`,
		Args: exactly("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			p, err := a.probe(cmd, args[0])
			if err != nil {
				return err
			}
			if node != "" {
				if err := a.pin(cmd, node, p); err != nil {
					return err
				}
			}
			return a.print(cmd, p, func(w io.Writer) { printProbe(w, p, node) })
		},
	}
	c.Flags().StringVar(&node, "pin", "", "store the fingerprint in this node")
	_ = c.RegisterFlagCompletionFunc("pin", a.completeNodes)
	return c
}

// probe asks the BMC, after checking that address can be one.
func (a *app) probe(cmd *cobra.Command, address string) (*Probe, error) {
	if a.Probe == nil {
		return nil, usagef("this build cannot speak to BMCs")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, hint(usagef("%q is no URL of a BMC", address), "it is like https://192.0.2.10")
	}
	if u.User != nil {
		return nil, usagef("the URL of a BMC must not hold a user name or password")
	}
	p, err := a.Probe(cmd.Context(), address)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// pinned asks a BMC for its certificate and says whose it is.
func (a *app) pinned(cmd *cobra.Command, address string) (string, error) {
	p, err := a.probe(cmd, address)
	if err != nil {
		return "", err
	}
	if err := pinnable(p); err != nil {
		return "", err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "pinned certificate %s (%s)\n", oneLine(p.Fingerprint), oneLine(p.Subject))
	return p.Fingerprint, nil
}

// pinnable tells whether there is a BMC with a certificate.
func pinnable(p *Probe) error {
	if p.Version == "" {
		return hint(fmt.Errorf("what answers at %s is no Redfish service", p.URL), "check the address, and that Redfish is switched on in the BMC")
	}
	if p.Fingerprint != "" {
		return nil
	}
	return hint(usagef("%s has no certificate to pin: it is not https", p.URL), "give the https address of the BMC")
}

func (a *app) pin(cmd *cobra.Command, node string, p *Probe) error {
	if err := pinnable(p); err != nil {
		return err
	}
	c, err := a.connect(cmd)
	if err != nil {
		return err
	}
	n, err := c.Node(cmd.Context(), node)
	if err != nil {
		return err
	}
	keys, ok := bmcKeys[n.Driver]
	if !ok {
		return usagef("node %s has driver %s, which pins no certificate", n.Label(), n.Driver)
	}
	if have, _ := n.DriverInfo[keys.address].(string); !sameHost(have, p.URL) {
		return hint(usagef("node %s has its BMC at %s, not at %s", n.Label(), have, p.URL),
			"probe that address, or change it: ingot node set %s --driver-info %s=%s", n.Label(), keys.address, p.URL)
	}
	_, err = c.UpdateNode(cmd.Context(), n.UUID, []wire.PatchOp{client.Set("/driver_info/"+keys.fingerprint, p.Fingerprint)}, false)
	return err
}

// sameHost compares the host and port of two BMC addresses; one without a scheme means https.
func sameHost(a, b string) bool {
	host := func(s string) string {
		if !strings.Contains(s, "://") {
			s = "https://" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			return ""
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return strings.ToLower(u.Hostname()) + ":" + port
	}
	return a != "" && host(a) == host(b)
}

func printProbe(w io.Writer, p *Probe, node string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(k, v string) {
		if v != "" {
			fmt.Fprintf(t, "%s\t%s\n", k, oneLine(v))
		}
	}
	row("address", p.URL)
	if p.Version == "" {
		row("redfish", "no: something else answers here")
	}
	row("product", strings.TrimSpace(p.Vendor+" "+p.Product))
	row("redfish", p.Version)
	row("uuid", p.UUID)
	if p.Version != "" {
		row("asks for a password", yesNo(p.AuthRequired))
	}
	row("systems", listed(p.Systems))
	if p.Fingerprint == "" {
		row("certificate", "none: this BMC is reached without TLS")
	} else {
		row("certificate of", p.Subject)
		row("issued by", p.Issuer)
		if p.NotAfter != nil {
			row("valid until", p.NotAfter.Local().Format(time.DateTime))
		}
		row("trusted here", yesNo(p.Trusted))
		row("fingerprint", p.Fingerprint)
	}
	_ = t.Flush()
	switch {
	case node != "":
		fmt.Fprintf(w, "pinned for node %s\n", oneLine(node))
	case p.Fingerprint != "" && !p.Trusted:
		fmt.Fprintf(w, "to trust it: ingot bmc probe %s --pin NODE, or node create --bmc-fingerprint\n", oneLine(p.URL))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
