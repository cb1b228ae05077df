package depot

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// maxTemplate bounds a script's template, and what is made of it.
const maxTemplate = 64 << 10

// ScriptValues are all that a template of a boot script may use. Each passed its check: it can be put into a script as it
// is.
type ScriptValues struct {
	Node      string // UUID
	Kernel    string // address (iPXE) or path (GRUB) of the kernel
	Initramfs string
	Config    string // of the second initramfs, with the boot's configuration
	Params    string // the kernel's command line, for GRUB with each word in quotes
	Timeout   int    // [pxe] ipxe_timeout in milliseconds; 0: none
}

const builtinIPXE = `#!ipxe
# For one boot of node {{.Node}}.
set tries:int32 0
:again
inc tries
imgfree
kernel{{if .Timeout}} --timeout {{.Timeout}}{{end}} --name kernel {{.Kernel}} {{.Params}} initrd=initramfs initrd=config || goto failed
initrd{{if .Timeout}} --timeout {{.Timeout}}{{end}} --name initramfs {{.Initramfs}} || goto failed
initrd{{if .Timeout}} --timeout {{.Timeout}}{{end}} --name config {{.Config}} || goto failed
boot || goto failed
:failed
iseq ${tries} 10 && goto end ||
echo The ramdisk could not be booted. Again in 10 seconds.
sleep 10
goto again
:end
echo The ramdisk could not be booted. The machine switches off in 30 seconds.
sleep 30
poweroff || exit 1
`

// builtinInstaller boots an installer of the machine's user. There is no configuration of ours for it, so that no template of the
// operator's, which names one, is for it.
const builtinInstaller = `#!ipxe
# For one boot of node {{.Node}}, which installs itself.
set tries:int32 0
:again
inc tries
imgfree
kernel{{if .Timeout}} --timeout {{.Timeout}}{{end}} --name kernel {{.Kernel}} {{.Params}} initrd=initramfs || goto failed
initrd{{if .Timeout}} --timeout {{.Timeout}}{{end}} --name initramfs {{.Initramfs}} || goto failed
boot || goto failed
:failed
iseq ${tries} 10 && goto end ||
echo The installer could not be booted. Again in 10 seconds.
sleep 10
goto again
:end
echo The installer could not be booted. The machine switches off in 30 seconds.
sleep 30
poweroff || exit 1
`

const builtinGrub = `# For one boot of node {{.Node}}.
set timeout=0
if linux {{.Kernel}} {{.Params}} ; then
  if initrd {{.Initramfs}} {{.Config}} ; then
    boot
  fi
fi
echo The ramdisk could not be booted. The machine starts anew in 30 seconds.
sleep 30
reboot
`

// Scripts makes boot scripts. The zero value makes the built-in ones.
type Scripts struct {
	ipxe, grub *template.Template
	timeout    int
}

// ReadScripts reads the templates that options name: ipxe_config_template, uefi_pxe_config_template; "" and upstream's
// packaged names are the built-in scripts. Timeout is ipxe_timeout, in milliseconds. A template that gives nothing for
// ordinary values is refused now, not at a machine's boot.
func ReadScripts(ipxe, grub string, timeout int) (*Scripts, error) {
	s := &Scripts{timeout: timeout}
	for _, t := range []struct {
		option, path string
		to           **template.Template
	}{{"[pxe] ipxe_config_template", ipxe, &s.ipxe}, {"[pxe] uefi_pxe_config_template", grub, &s.grub}} {
		path, err := templatePath(t.option, t.path)
		if err != nil {
			return nil, err
		}
		if path == "" {
			continue
		}
		if *t.to, err = readTemplate(t.option, path); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func readTemplate(option, path string) (*template.Template, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s: the template %s cannot be read.", option, path)
	}
	defer f.Close() // read-only: nothing is lost
	text, err := io.ReadAll(io.LimitReader(f, maxTemplate+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(fault.Invalid, err, "%s: the template %s cannot be read.", option, path)
	case len(text) > maxTemplate:
		return nil, fault.New(fault.Invalid, "%s: the template %s is larger than %d bytes.", option, path, maxTemplate)
	case bytes.Contains(text, []byte("{{ pxe_options")), bytes.Contains(text, []byte("{%")):
		return nil, fault.New(fault.Invalid, "%s: %s is a Jinja template of Ironic's; write it as docs/guides/network-boot.md says, with {{.Kernel}} and its like.", option, path)
	}
	t, err := template.New(path).Option("missingkey=error").Parse(string(text))
	if err == nil {
		_, err = execute(t, ScriptValues{Node: "n", Kernel: "k", Initramfs: "i", Config: "c", Params: "p"})
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%s: the template %s does not work: %v", option, path, err)
	}
	return t, nil
}

// IPXE is the script that an iPXE is given for a boot whose files are below the address base.
func (s *Scripts) IPXE(b *metal.NetworkBoot, base string) ([]byte, error) {
	params, err := ipxeParams(b.KernelParams)
	if err != nil {
		return nil, err
	}
	if b.Installer {
		return s.script(nil, builtinInstaller, b, base, params)
	}
	return s.script(s.ipxe, builtinIPXE, b, base, params)
}

// Grub is the configuration that a GRUB is given for a boot whose files are below the path base of whatever it was loaded
// from.
func (s *Scripts) Grub(b *metal.NetworkBoot, base string) ([]byte, error) {
	params, err := grubParams(b.KernelParams)
	if err != nil {
		return nil, err
	}
	return s.script(s.grub, builtinGrub, b, base, params)
}

func (s *Scripts) script(t *template.Template, builtin string, b *metal.NetworkBoot, base, params string) ([]byte, error) {
	if t == nil {
		t = template.Must(template.New("").Parse(builtin))
	}
	v := ScriptValues{Params: params, Timeout: s.timeout}
	for _, w := range []struct {
		to         *string
		what, word string
	}{{&v.Node, "The node's UUID", b.NodeUUID}, {&v.Kernel, "The kernel's address", base + "/" + NetKernel}, {&v.Initramfs, "The initramfs's address", base + "/" + NetInitramfs},
		{&v.Config, "The configuration's address", base + "/" + NetConfig}} {
		word, err := scriptWord(w.what, w.word)
		if err != nil {
			return nil, err
		}
		*w.to = word
	}
	return execute(t, v)
}

func execute(t *template.Template, v ScriptValues) ([]byte, error) {
	out := &boundedScript{}
	if err := t.Execute(out, v); err != nil {
		return nil, fmt.Errorf("boot script: %w", err)
	}
	if strings.TrimSpace(out.String()) == "" {
		return nil, fault.New(fault.Invalid, "the boot script is empty")
	}
	return []byte(out.String()), nil
}

// boundedScript keeps what a template writes, up to a limit.
type boundedScript struct{ strings.Builder }

func (b *boundedScript) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxTemplate {
		return 0, fault.New(fault.TooLarge, "the boot script is larger than %d bytes", maxTemplate)
	}
	return b.Builder.Write(p)
}
