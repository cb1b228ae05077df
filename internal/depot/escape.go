package depot

import (
	"path/filepath"
	"strings"

	"ingot/internal/fault"
)

// Whatever comes from a node or from the configuration passes one of these on its way into a boot script. What means
// something to a script's parser is refused, not escaped: iPXE has no way to escape, and a value that needs one here is a
// mistake or an attack.

// MaxKernelParams is the limit for kernel_append_params in bytes.
const MaxKernelParams = 1024

// maxKernelLine is the limit for a whole command line. x86 kernels take 2047 bytes in all (COMMAND_LINE_SIZE), and boot
// loaders put words of their own on it.
const maxKernelLine = 1900

// scriptSpecial are the characters that mean something to the script parsers of GRUB or iPXE, inside or outside quotes.
const scriptSpecial = "'\"`;$\\|&<>{}*?#"

// maxWord is the longest address or name in a script.
const maxWord = 512

// CheckKernelParams tells whether kernel_append_params may go on the command line of a ramdisk: printable ASCII in which
// no script parser finds anything. Errors are fault.Invalid.
func CheckKernelParams(params string) error {
	return checkLine("kernel_append_params", params, MaxKernelParams)
}

func checkLine(what, line string, limit int) error {
	if len(line) > limit {
		return fault.New(fault.Invalid, "%s is %d characters long; at most %d are possible.", what, len(line), limit)
	}
	for i := range len(line) {
		switch c := line[i]; {
		case c < ' ' || c > '~':
			return fault.New(fault.Invalid, "%s holds the character %q at position %d; only printable ASCII is possible.", what, c, i+1)
		case strings.IndexByte(scriptSpecial, c) >= 0:
			return fault.New(fault.Invalid, "%s holds %q at position %d; none of %s is possible.", what, c, i+1, scriptSpecial)
		}
	}
	return nil
}

// reserved are the parameters that say whom the ramdisk belongs to, and what its kernel starts. Who only uses a node has no
// say in them.
var reserved = []string{"boot_method", "initrd", "init", "rdinit", "bootif"}

// checkTenantParams is for the kernel_append_params of an instance.
func checkTenantParams(params string) error {
	for _, word := range strings.Fields(params) {
		name, _, _ := strings.Cut(strings.ToLower(word), "=")
		name = strings.ReplaceAll(name, "-", "_") // the kernel does not tell them apart
		if strings.HasPrefix(name, "ipa_") {
			return fault.New(fault.Invalid, "instance_info kernel_append_params may not set %s: it belongs to the server.", name)
		}
		for _, r := range reserved {
			if name == r {
				return fault.New(fault.Invalid, "instance_info kernel_append_params may not set %s: it belongs to the server.", name)
			}
		}
	}
	return nil
}

// defaultParams stands, in a node's kernel_append_params, for those of the configuration. Source: OpenStack Ironic,
// ironic/drivers/utils.py, get_kernel_append_params.
const defaultParams = "%default%"

// AppendParams are the kernel_append_params of one boot: the instance's, else the node's, else the configuration's. Errors
// are fault.Invalid.
func AppendParams(configured, ofNode, ofInstance string) (string, error) {
	if ofInstance != "" {
		if err := checkTenantParams(ofInstance); err != nil {
			return "", err
		}
	}
	params := configured
	for _, own := range []string{ofNode, ofInstance} {
		if own != "" {
			params = strings.ReplaceAll(own, defaultParams, configured)
		}
	}
	params = strings.Trim(params, " ")
	return params, CheckKernelParams(params)
}

// KernelLine puts a command line together: the server's own words, then what is appended. A "--" among the latter gives
// what follows to the first process. Errors are fault.Invalid.
func KernelLine(own []string, params string) (string, error) {
	if err := CheckKernelParams(params); err != nil {
		return "", err
	}
	for _, word := range own {
		if strings.ContainsRune(word, ' ') {
			return "", fault.New(fault.Invalid, "The kernel parameter %q is no single word.", word)
		}
	}
	line := strings.Join(append(own[:len(own):len(own)], strings.Fields(params)...), " ")
	return line, checkLine("The kernel's command line", line, maxKernelLine)
}

// scriptWord is a word for an iPXE script, or a part of a GRUB path: what addresses and names of files are made of.
func scriptWord(what, s string) (string, error) {
	if s == "" || len(s) > maxWord {
		return "", fault.New(fault.Invalid, "%s has %d characters; 1 to %d are possible.", what, len(s), maxWord)
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~:/=+,@%[]", c) >= 0 {
			continue
		}
		return "", fault.New(fault.Invalid, "%s holds %q, which cannot be part of a boot script.", what, c)
	}
	if s[0] == '-' || s[0] == '[' {
		return "", fault.New(fault.Invalid, "%s begins with %q: a boot loader would take it for an option.", what, s[0])
	}
	return s, nil
}

// ipxeParams are the words of a kernel's command line in an iPXE script.
func ipxeParams(line string) (string, error) {
	if err := checkLine("The kernel's command line", line, maxKernelLine); err != nil {
		return "", err
	}
	return strings.Join(strings.Fields(line), " "), nil
}

// grubParams are the words of a kernel's command line in a GRUB script. They were checked; the quotes are the second line of
// defence.
func grubParams(line string) (string, error) {
	if err := checkLine("The kernel's command line", line, maxKernelLine); err != nil {
		return "", err
	}
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = "'" + w + "'"
	}
	return strings.Join(words, " "), nil
}

// packagedTemplates are upstream's own templates, by what ironic.conf calls them; each stands for the built-in script.
// Source: OpenStack Ironic, ironic/conf/pxe.py.
var packagedTemplates = []string{"pxe_config.template", "pxe_grub_config.template", "ipxe_config.template"}

// templatePath tells what an option with a template's path means: "" is the built-in one.
func templatePath(option, path string) (string, error) {
	const packaged = "drivers/modules/"
	if path == "" {
		return "", nil
	}
	if rest, ok := strings.CutPrefix(path, "$pybasedir/"); ok {
		for _, name := range packagedTemplates {
			if rest == packaged+name {
				return "", nil
			}
		}
		return "", fault.New(fault.Invalid, "%s: there is no packaged template %q; there are $pybasedir/%s{%s}, which mean the built-in script.", option, path, packaged,
			strings.Join(packagedTemplates, ","))
	}
	if len(path) > maxPath || !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fault.New(fault.Invalid, "%s: %q is not the absolute, plain path of a template.", option, path)
	}
	return path, nil
}
