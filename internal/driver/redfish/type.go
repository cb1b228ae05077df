package redfish

import "ingot/internal/metal"

// The keys of driver_info. All but the fingerprint are Ironic's.
// Source: OpenStack Ironic, ironic/drivers/modules/redfish/utils.py.
const (
	keyAddress     = "redfish_address"
	keySystem      = "redfish_system_id"
	keyUser        = "redfish_username"
	keyPassword    = "redfish_password"
	keyVerifyCA    = "redfish_verify_ca"
	keyAuth        = "redfish_auth_type"
	keyFingerprint = "redfish_certificate_fingerprint"
)

// Fields are the keys of driver_info that this driver reads.
func Fields() []metal.Field {
	return []metal.Field{
		{Name: keyAddress, Required: true,
			Description: "URL of the BMC: https://host or https://host:port; https is assumed when the scheme is left out. Required."},
		{Name: keySystem,
			Description: "Path of the machine on its BMC, like /redfish/v1/Systems/1, or only its last part. Needed when the BMC has more than one."},
		{Name: keyUser,
			Description: "User name on the BMC; needs the right to switch power, set the boot device and use virtual media."},
		{Name: keyPassword, Secret: true,
			Description: "Password on the BMC."},
		{Name: keyVerifyCA,
			Description: "How the BMC's certificate is verified: True (the system's CAs, the default), PEM text or a path of CA certificates, or False, which is refused unless the server allows it: pin the certificate instead."},
		{Name: keyFingerprint,
			Description: "SHA-256 of the BMC's own certificate, in hex. Pins it: no CA and no host name is needed. \"ingot bmc probe URL\" shows it."},
		{Name: keyAuth,
			Description: "basic, session, auto (sessions, and basic where there are none; the default) or none."},
	}
}
