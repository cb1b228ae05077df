package metal

import (
	"time"

	"ingot/internal/secret"
)

// The boot interfaces that boot from the network. Source: images reference §11.
const (
	BootPXE      = "pxe"       // loader by TFTP, then GRUB
	BootIPXE     = "ipxe"      // iPXE by TFTP, then its script by HTTP
	BootHTTP     = "http"      // loader by UEFI HTTP boot, then GRUB
	BootHTTPIPXE = "http-ipxe" // iPXE by UEFI HTTP boot, then its script
)

// NetworkBoot is one boot of a node's ramdisk, or of its user's installer, from the network, as whoever answers the machine
// knows it. It lasts from the preparation of the boot until the machine has left the ramdisk, or its installer was heard, or
// until it expires; a node has one at most. It is kept sealed, or pushed to a boot host.
type NetworkBoot struct {
	NodeUUID   string    `json:"node_uuid"`
	NodeName   string    `json:"node_name,omitempty"`
	Generation string    `json:"generation"`            // of the boot: Agent.Boot
	Interface  string    `json:"interface"`             // BootPXE, BootIPXE, BootHTTP or BootHTTPIPXE
	MACs       []string  `json:"macs"`                  // lower case, colons: of the ports that may boot
	SystemUUID string    `json:"system_uuid,omitempty"` // of the machine's firmware, lower case; "": not known
	Firmware   string    `json:"firmware"`              // UEFI or BIOS, as the boot was prepared
	Arch       string    `json:"arch"`                  // x86_64 or aarch64
	Expires    time.Time `json:"expires"`
	Role       string    `json:"role,omitempty"` // what the machine boots for, as agentapi names roles: which ramdisk

	// Installer: the machine boots an installer of its user's, in the place of a ramdisk of ours. Its files lie among the images that
	// the server brought, under their Name: ISO where the interface is BootHTTP, otherwise Kernel and Initramfs. There is no Config.
	Installer bool     `json:"installer,omitempty"`
	ISO       BootFile `json:"iso,omitzero"`

	// KernelParams is the whole command line of the ramdisk's kernel, without initrd=; it was checked.
	KernelParams string   `json:"kernel_params"`
	Kernel       BootFile `json:"kernel"`
	Initramfs    BootFile `json:"initramfs"`
	// Key is part of the addresses of what only this machine may fetch: 32 random bytes in base64url.
	Key secret.Secret `json:"-"`
	// Config is the boot.json of this boot, which the machine gets as a second initramfs. It holds the agent's token.
	Config secret.Secret `json:"-"`
	// ConfigFetches is how often Config was given out.
	ConfigFetches int `json:"config_fetches,omitempty"`
}

// BootFile is a file that machines boot. What is served has its SHA-256, in hex.
type BootFile struct {
	Name   string `json:"name"` // in the ramdisk folder, or on a shelf
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// SeenOffer is what is noted of a machine that was offered a boot loader. Later the names of the files are noted that it
// fetches.
const SeenOffer = "offer"
