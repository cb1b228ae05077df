package main

import "ingot/internal/metal"

// The keys of driver_info that belong to no driver of ours. The names are Ironic's. Source: OpenStack Ironic,
// ironic/drivers/modules/{ipmitool,pxe_base,agent,agent_base}.py and redfish/boot.py.

// ramdiskFields are read whatever BMC a machine has.
var ramdiskFields = []metal.Field{
	{Name: "deploy_iso", Description: "URL of a boot ISO of the operator's own with an ironic-python-agent, instead of the server's ramdisk. The agent gets its token by lookup."},
	{Name: "deploy_iso_checksum", Description: "SHA-256 or SHA-512 of the deploy_iso, or the URL of a checksum file. With it this server fetches the ISO, verifies it, and gives it to the BMC. It is ours."},
	{Name: "deploy_kernel", Description: "URL of a kernel for the deploy ramdisk. Taken and kept; this server makes its ramdisk itself and does not read it."},
	{Name: "deploy_ramdisk", Description: "URL of an initramfs with an agent. Taken and kept; this server makes its ramdisk itself and does not read it."},
	{Name: "rescue_iso", Description: "URL of a boot ISO of the operator's own for rescues, instead of the server's rescue ramdisk, where the machine boots from virtual media. Its agent gets its token by lookup."},
	{Name: "rescue_iso_checksum", Description: "The same of the rescue_iso."},
	{Name: "rescue_kernel", Description: "URL of a kernel for the rescue ramdisk. A rescue is refused where it is set: this server makes its rescue ramdisk itself."},
	{Name: "rescue_ramdisk", Description: "URL of an initramfs for rescue. A rescue is refused where it is set."},
	{Name: metal.AgentAddress, Description: "Address of this machine while it runs the ramdisk, where the operator gives it one."},
	{Name: metal.PollOnlyKey, Description: "Whether the agent of this machine is only polled and calls nobody: true or false. Unless said, as [agent] poll_only."},
	{Name: "kernel_append_params", Description: "Kernel parameters for the ramdisk of this machine instead of the server's."},
	{Name: "bootloader", Description: "URL of the image of an EFI system partition for boot ISOs. Taken and kept; this server brings its own boot loader."},
	{Name: "config_via_removable", Description: "Whether a second virtual drive carries the ramdisk's configuration. Taken and kept; this server puts it on the boot ISO."},
	{Name: "external_http_url", Description: "Base of the URLs at which the BMC of this machine reaches this server. Taken and kept; not read yet."},
	{Name: "image_download_source", Description: "From where the machine gets its image: http, the image's own address, or local, this server or a boot host."},
	{Name: "image_pull_secret", Secret: true, Description: "What opens the images of this machine's instances, as user:password or a token, at the hosts of [deploy] image_server_hosts. An instance_info may have its own."},
	{Name: "image_http_proxy", Description: "Proxy for images by HTTP. Taken and kept; not read yet."},
	{Name: "image_https_proxy", Description: "Proxy for images by HTTPS. Taken and kept; not read yet."},
	{Name: "image_no_proxy", Description: "Hosts and domains, divided by commas, that are fetched from without the proxy. Taken and kept; not read yet."},
	{Name: "deploy_forces_oob_reboot", Description: "Whether the BMC and not the agent ends the ramdisk after a deploy. Taken and kept; not read yet."},
	{Name: "agent_verify_ca", Description: "How an agent's certificate is verified. Taken and kept; this server pins the certificate that the agent tells with its token."},
}

// ipmiFields are those of a BMC that speaks IPMI.
var ipmiFields = []metal.Field{
	{Name: "ipmi_address", Required: true, Description: "Address or host name of the BMC."},
	{Name: "ipmi_port", Description: "UDP port of the BMC; 623 unless said."},
	{Name: "ipmi_username", Description: "User name on the BMC; none unless said."},
	{Name: "ipmi_password", Secret: true, Description: "Password on the BMC."},
	{Name: "ipmi_hex_kg_key", Secret: true, Description: "Key of the BMC itself (Kg) for sessions of IPMI 2.0, in hex."},
	{Name: "ipmi_priv_level", Description: "Privilege level of sessions: ADMINISTRATOR (the default), OPERATOR, USER or CALLBACK."},
	{Name: "ipmi_cipher_suite", Description: "Number of the cipher suite: 3 or, better, 17."},
	{Name: "ipmi_protocol_version", Description: "Version of the protocol: 2.0 (the default) or 1.5."},
	{Name: "ipmi_bridging", Description: "How the machine is reached through another BMC: no (the default), single or dual."},
	{Name: "ipmi_local_address", Description: "Own address on the bus of bridged requests."},
	{Name: "ipmi_target_address", Description: "Address behind the bridge. Needed with single and dual."},
	{Name: "ipmi_target_channel", Description: "Channel behind the bridge. Needed with single and dual."},
	{Name: "ipmi_transit_address", Description: "Address on the way. Needed with dual."},
	{Name: "ipmi_transit_channel", Description: "Channel on the way. Needed with dual."},
	{Name: "ipmi_force_boot_device", Description: "Whether the boot device is set at every start, for BMCs that forget it."},
	{Name: "ipmi_disable_boot_timeout", Description: "Whether the BMC is told not to forget the boot device after 60 seconds."},
	{Name: "ipmi_terminal_port", Description: "Port of this machine's serial console. Needed for the console only."},
}

// fakeFields are what the vendor interface of fake hardware documents; it reads neither.
var fakeFields = []metal.Field{
	{Name: "B1", Description: "An example of a key. Nothing reads it."},
	{Name: "B2", Description: "Another example of a key. Nothing reads it."},
}
