package depot

import (
	"encoding/json"
	"fmt"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// BaseKernelParams is what every boot from the ISO starts with. boot_method=vmedia tells an agent to look
// for its configuration on the CD (source: agent protocol reference, section 2).
const BaseKernelParams = "console=tty0 console=ttyS0,115200 boot_method=vmedia"

// emptyNetworkData is the network data of a machine that configures itself by DHCP.
const emptyNetworkData = `{"links":[],"networks":[],"services":[]}`

// networkWords are the words that a ramdisk from the network starts with; its configuration is in its initramfs.
var networkWords = []string{"console=tty0", "console=ttyS0,115200", "boot_method=" + NetworkMethod}

// NetworkMethod is the boot_method of a ramdisk whose configuration is in its initramfs.
const NetworkMethod = "initramfs"

// NetworkKernelLine is the whole command line of a ramdisk from the network.
func NetworkKernelLine(params string) (string, error) { return KernelLine(networkWords, params) }

// render makes the content of every placeholder, without its padding, by path.
func render(boot agentapi.BootConfig, kernelParams string) (map[string][]byte, error) {
	if err := CheckKernelParams(kernelParams); err != nil {
		return nil, err
	}
	config, err := json.Marshal(boot)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The machine's network data is not valid JSON.")
	}
	network := []byte(boot.NetworkData)
	if len(network) == 0 {
		network = []byte(emptyNetworkData)
	}
	grub, err := grubConfig(kernelParams)
	return map[string][]byte{BootConfigPath: config, GrubConfigPath: grub, NetworkDataPath: network}, err
}

// grubConfig boots without a menu. The parameters were checked.
func grubConfig(kernelParams string) ([]byte, error) {
	params, err := grubParams(kernelParams)
	if params != "" {
		params = " " + params
	}
	return fmt.Appendf(nil, "linux /boot/vmlinuz %s%s\ninitrd /boot/initrd\nboot\n", BaseKernelParams, params), err
}
