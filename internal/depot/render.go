package depot

import (
	"encoding/json"
	"fmt"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// BaseKernelParams is what every boot from the ISO starts with. boot_method=vmedia tells an agent to look
// for its configuration on the CD (source: agent protocol reference, section 2).
const BaseKernelParams = "console=tty0 console=ttyS0,115200 boot_method=vmedia"

// MaxKernelParams is the limit for kernel_append_params in bytes. x86 kernels take 2047 bytes in all
// (COMMAND_LINE_SIZE), and GRUB puts its own words before them.
const MaxKernelParams = 1024

// grubSpecial are the characters that mean something to GRUB's script parser, inside or outside quotes.
const grubSpecial = "'\"`;$\\|&<>{}*?#"

// emptyNetworkData is the network data of a machine that configures itself by DHCP.
const emptyNetworkData = `{"links":[],"networks":[],"services":[]}`

// CheckKernelParams tells whether kernel_append_params may go on the command line of a ramdisk. They end
// up in a GRUB script, where a quote or a newline would be a command: what has a meaning there is refused,
// not escaped. Errors are fault.Invalid.
func CheckKernelParams(params string) error {
	if len(params) > MaxKernelParams {
		return fault.New(fault.Invalid, "kernel_append_params is %d characters long; at most %d are possible.", len(params), MaxKernelParams)
	}
	for i := range len(params) {
		switch c := params[i]; {
		case c < ' ' || c > '~':
			return fault.New(fault.Invalid, "kernel_append_params holds the character %q at position %d; only printable ASCII is possible.", c, i+1)
		case strings.IndexByte(grubSpecial, c) >= 0:
			return fault.New(fault.Invalid, "kernel_append_params holds %q at position %d; none of %s is possible.", c, i+1, grubSpecial)
		}
	}
	return nil
}

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
	return map[string][]byte{
		BootConfigPath:  config,
		GrubConfigPath:  grubConfig(kernelParams),
		NetworkDataPath: network,
	}, nil
}

// grubConfig boots without a menu. The parameters were checked; the quotes are the second line of defence.
func grubConfig(kernelParams string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "linux /boot/vmlinuz %s", BaseKernelParams)
	for _, word := range strings.Fields(kernelParams) {
		fmt.Fprintf(&b, " '%s'", word)
	}
	b.WriteString("\ninitrd /boot/initrd\nboot\n")
	return []byte(b.String())
}
