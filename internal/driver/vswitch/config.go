package vswitch

import (
	"time"

	"ingot/internal/metal"
)

// Config is the section [vswitch].
type Config struct {
	// URL is the base of the switch API (docs/vswitch-api.md), such as https://switch.example.org/v1. Empty means that
	// nodes with the network interface vswitch cannot be worked with.
	URL string `key:"url" is:"url"`
	// TokenFile holds the bearer token of the switch API. It is read for each request. Empty means none.
	TokenFile string `key:"token_file" is:"path"`
	// CAFile holds the certificates that the switch API's must come from. Empty means those of the host.
	CAFile string `key:"cafile" is:"path"`
	// CertFile is a certificate that this server shows to the switch API, with key_file. Empty means none.
	CertFile string `key:"cert_file" is:"path"`
	// KeyFile is the private key of cert_file.
	KeyFile string `key:"key_file" is:"path"`
	// Timeout is how long the switch API may take to answer one request.
	Timeout time.Duration `key:"timeout" min:"1"`
	// ApplyTimeout is how long a switch may take until a change that it accepted is shown.
	ApplyTimeout time.Duration `key:"apply_timeout" min:"1"`
	// IdleNetwork is where ports without use are. Empty means that they are isolated.
	IdleNetwork string `key:"idle_network"`
	// ProvisioningNetwork is the network of machines that are being deployed. A node's driver_info may name its own, for
	// this and all that follow.
	ProvisioningNetwork string `key:"provisioning_network"`
	// CleaningNetwork is the network of machines that are being cleaned.
	CleaningNetwork string `key:"cleaning_network"`
	// RescuingNetwork is the network of machines that are being rescued.
	RescuingNetwork string `key:"rescuing_network"`
	// InspectionNetwork is the network of machines that are being inspected.
	InspectionNetwork string `key:"inspection_network"`
	// ServicingNetwork is the network of machines that are being serviced.
	ServicingNetwork string `key:"servicing_network"`
}

// Defaults is a configuration without a switch.
func Defaults() Config { return Config{Timeout: 10 * time.Second, ApplyTimeout: 30 * time.Second} }

// Names are the networks that it names.
func (c Config) Names() metal.NetworkNames {
	return metal.NetworkNames{metal.ProvisioningNetwork: c.ProvisioningNetwork, metal.CleaningNetwork: c.CleaningNetwork,
		metal.RescuingNetwork: c.RescuingNetwork, metal.InspectionNetwork: c.InspectionNetwork, metal.ServicingNetwork: c.ServicingNetwork}
}

// Fields are the keys of driver_info that are read here.
func Fields() []metal.Field {
	var out []metal.Field
	for _, r := range metal.NetworkRoles {
		if r.Option() != "" {
			out = append(out, metal.Field{Name: r.Option(), Description: "Network of this machine while it is in " + string(r) + ", instead of the server's."})
		}
	}
	return append(out, metal.Field{Name: "rescue_network", Description: "Another name of rescuing_network, which goes before it."})
}
