package config

// Netboot is the section [netboot]: the role netboot, which answers machines that boot from the network, and boot hosts that do. It is ours.
type Netboot struct {
	// NetworksFile is a YAML file of the networks that are served by DHCP. Empty serves none. See
	// docs/guides/network-boot.md.
	NetworksFile string `key:"networks_file" is:"path"`
	// HTTPListen is the address and port of an own listener for boot files without TLS, such as 192.0.2.1:80. Empty
	// serves them at the boot listener, if that has no TLS.
	HTTPListen string `key:"http_listen"`
	// TFTPListen is the address and port of the TFTP server; empty for none. It runs where a network is served, or
	// with the role netboot named, and on a boot host with anything set here.
	TFTPListen string `key:"tftp_listen"`
}

func netbootDefaults() Netboot { return Netboot{TFTPListen: ":69"} }
