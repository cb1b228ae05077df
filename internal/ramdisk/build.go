package ramdisk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// Options say what a ramdisk is made from. What is empty of Kernel, Modules, Shim, Grub and CA comes from
// the distribution's packages.
type Options struct {
	Kind    string // depot.KindDeploy or depot.KindDebian; "": KindDeploy
	Agent   string // the agent's program, static; needed
	Out     string // folder for the result; needed, made if absent
	Work    string // folder for fetched and unpacked packages, kept for the next time; "": Out/.work
	Kernel  string // a kernel image; with Modules
	Modules string // its modules, as in lib/modules/<release>; with Kernel
	Shim    string // first boot loader, signed by who the firmware trusts
	Grub    string // second boot loader, signed by who shim trusts; must find /boot/grub/grub.cfg on its CD
	NetGrub string // second boot loader that finds its configuration by TFTP, signed by who shim trusts
	IPXE    string // folder with snponly.efi and undionly.kpxe
	CA      string // PEM bundle of certificate authorities
	// Add are folders whose files go into the initramfs too, under the paths they have there: plugins of the
	// agent, as usr/lib/ingot/plugins/NAME, and what they need.
	Add []string
	// Include are packages that the Debian ramdisk gets beside its own.
	Include []string

	// Say is told what is being done, in a line without its end; nil: nobody.
	Say func(line string)
}

// Build makes the ramdisk and returns its manifest. A folder that holds one already gets the new one file
// by file, the manifest last: a server that reads it in between says it does not fit. Errors:
// fault.Invalid for options and files that cannot do, fault.Unavailable for packages that cannot be had,
// fault.TooLarge if the initramfs grows past 40 MB (Debian: 400 MB).
func Build(ctx context.Context, o Options) (*depot.Manifest, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, err
	}
	in, err := o.gather(ctx)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(o.Out, ".new-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	m, err := o.make(in, scratch)
	if err != nil {
		return nil, err
	}
	return m, publish(m, scratch, o.Out)
}

func (o *Options) check() error {
	if o.Agent == "" || o.Out == "" {
		return fault.New(fault.Invalid, "A ramdisk needs an agent and a folder to go to.")
	}
	if err := o.checkKind(); err != nil {
		return err
	}
	// The packages are unpacked by programs that run in another folder.
	for _, p := range []*string{&o.Agent, &o.Out, &o.Work, &o.Kernel, &o.Modules, &o.Shim, &o.Grub, &o.NetGrub, &o.IPXE, &o.CA} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	if err := o.checkAdd(); err != nil {
		return err
	}
	if (o.Kernel == "") != (o.Modules == "") {
		return fault.New(fault.Invalid, "A kernel and its modules belong together: give both --kernel and --modules, or neither.")
	}
	for option, path := range map[string]string{"agent": o.Agent, "kernel": o.Kernel, "modules": o.Modules,
		"shim": o.Shim, "grub": o.Grub, "net-grub": o.NetGrub, "ipxe": o.IPXE, "ca": o.CA} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil {
			return fault.Wrap(fault.Invalid, err, "There is no %s, given as --%s.", path, option)
		} else if info.IsDir() != (option == "modules" || option == "ipxe") {
			return fault.New(fault.Invalid, "What is given as --%s, %s, is of the wrong kind: only --modules and --ipxe are folders.", option, path)
		}
	}
	return nil
}

func (o *Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

// inputs are the files a ramdisk is made from, wherever they came from.
type inputs struct {
	kernel, modules, shim, grub string
	certificates                []byte
	packages                    []depot.Package
	mdadm                       []placed // with its libraries; none: no software RAID
	loaders                     []placed // boot loaders for the network; none: those machines have none
	system                      string   // the tar of a Debian system; "": the ramdisk has none
}

// gather finds the inputs.
func (o *Options) gather(ctx context.Context) (inputs, error) {
	in := inputs{kernel: o.Kernel, modules: o.Modules, shim: o.Shim, grub: o.Grub}
	work := o.Work
	if work == "" {
		work = filepath.Join(o.Out, ".work")
	}
	d := &debian{work: work, say: o.say}
	if o.Kind == depot.KindDebian || slices.Contains([]string{o.Kernel, o.Shim, o.Grub, o.CA}, "") {
		if err := d.available(); err != nil {
			return inputs{}, err
		}
		if err := os.MkdirAll(work, 0o755); err != nil {
			return inputs{}, err
		}
	}
	if in.kernel == "" {
		var err error
		if in.kernel, in.modules, err = d.kernelFiles(ctx); err != nil {
			return inputs{}, err
		}
		if o.Kind == depot.KindDeploy {
			if in.mdadm, err = d.mdadm(ctx); err != nil {
				return inputs{}, err
			}
		}
	}
	for _, c := range []struct {
		path       *string
		name, file string
	}{{&in.shim, shimPackage, shimFile}, {&in.grub, grubPackage, grubFile}} {
		if *c.path != "" {
			continue
		}
		dir, err := d.unpacked(ctx, c.name)
		if err != nil {
			return inputs{}, err
		}
		*c.path = filepath.Join(dir, c.file)
	}
	var err error
	if in.certificates, err = o.certificates(ctx, d); err != nil {
		return inputs{}, err
	}
	if in.loaders, err = o.netLoaders(ctx, d, in.shim); err != nil {
		return inputs{}, err
	}
	if o.Kind == depot.KindDebian {
		b, err := d.base(ctx, o.Include)
		if err != nil {
			return inputs{}, err
		}
		in.system, d.used = b.tar, append(d.used, b.packages...)
	}
	in.packages = d.used
	return in, nil
}

// kernelFiles gives the kernel and the modules of Debian's current kernel package.
func (d *debian) kernelFiles(ctx context.Context) (kernel, modules string, err error) {
	name, err := d.kernel(ctx)
	if err != nil {
		return "", "", err
	}
	dir, err := d.unpacked(ctx, name)
	if err != nil {
		return "", "", err
	}
	kernels, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return "", "", noPackage(name, errors.New("it holds no kernel, or several"))
	}
	for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
		if found, _ := filepath.Glob(filepath.Join(dir, lib, "*", "kernel")); len(found) == 1 {
			return kernels[0], filepath.Dir(found[0]), nil
		}
	}
	return "", "", noPackage(name, errors.New("it holds no modules"))
}

// certificates gives one bundle in PEM.
func (o *Options) certificates(ctx context.Context, d *debian) ([]byte, error) {
	if o.CA != "" {
		return os.ReadFile(o.CA)
	}
	dir, err := d.unpacked(ctx, caPackage)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, caFolder, "*.crt")) // sorted
	if err != nil || len(files) == 0 {
		return nil, noPackage(caPackage, errors.New("it holds no certificates"))
	}
	var bundle bytes.Buffer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		bundle.Write(bytes.TrimSpace(b))
		bundle.WriteByte('\n')
	}
	return bundle.Bytes(), nil
}

// make builds everything in the scratch folder.
func (o *Options) make(in inputs, scratch string) (*depot.Manifest, error) {
	tree, err := openModules(in.modules)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The kernel modules cannot be used.")
	}
	m := &depot.Manifest{Version: depot.ManifestVersion, Kind: o.Kind, KernelRelease: tree.release, Packages: append([]depot.Package{}, in.packages...),
		BuiltinModules: []string{}, MissingModules: []string{}, VolumeLabel: depot.VolumeLabel, KernelParams: depot.BaseKernelParams}
	kernel, initramfs := filepath.Join(scratch, depot.KernelName), filepath.Join(scratch, depot.InitramfsName)
	if err := copyFile(kernel, in.kernel); err != nil {
		return nil, err
	}
	if err := o.initramfs(m, in, tree, initramfs, scratch); err != nil {
		return nil, err
	}
	o.say("writing the boot ISO")
	parts := isoParts{kernel: kernel, initramfs: initramfs, shim: in.shim, grub: in.grub}
	if m.Regions, err = writeISO(parts, filepath.Join(scratch, depot.ISOName), scratch); err != nil {
		return nil, err
	}
	if m.Loaders, err = placeLoaders(in.loaders, filepath.Join(scratch, depot.LoaderFolder)); err != nil {
		return nil, err
	}
	return m, o.identify(m, in, scratch)
}

// initramfs makes the file and notes what is in it.
func (o *Options) initramfs(m *depot.Manifest, in inputs, tree *moduleTree, out, scratch string) error {
	var a archive
	limit := int64(maxInitramfs)
	var err error
	if o.Kind == depot.KindDebian {
		limit = maxDebian
		system, openErr := os.Open(in.system)
		if openErr != nil {
			return openErr
		}
		defer system.Close() // read-only: nothing is lost
		var ca []byte
		if o.CA != "" {
			ca = in.certificates
		}
		m.Modules, err = fillDebian(&a, o.Agent, system, ca, tree, scratch)
	} else {
		err = o.fillDeploy(&a, m, in, tree)
	}
	if err != nil {
		return err
	}
	added, err := addFolders(&a, o.Add)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		o.say("%d files are added", len(added))
		m.Inputs = append(m.Inputs, added...)
	}
	o.say("packing the initramfs: kernel %s, %d modules", tree.release, len(m.Modules))
	m.UnpackedSize, err = pack(&a, out, limit)
	return err
}

// fillDeploy fills the archive of a deploy ramdisk.
func (o *Options) fillDeploy(a *archive, m *depot.Manifest, in inputs, tree *moduleTree) error {
	picked, err := tree.pick(wanted)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The kernel modules cannot be used.")
	}
	m.BuiltinModules, m.MissingModules = picked.builtin, picked.missing
	if err := fill(a, o.Agent, in.certificates, tree, picked); err != nil {
		return err
	}
	raid, err := fillRAID(a, tree, picked, in.mdadm)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The kernel modules cannot be used.")
	}
	m.Modules = append(picked.load, raid...)
	return nil
}

// identify hashes what went in and what came out.
func (o *Options) identify(m *depot.Manifest, in inputs, scratch string) error {
	for _, f := range []struct{ name, path string }{{"agent", o.Agent}, {"shim", in.shim}, {"grub", in.grub}} {
		id, err := hashFile(f.path)
		if err != nil {
			return err
		}
		id.Name = f.name
		m.Inputs = append(m.Inputs, id)
	}
	ca := filepath.Join(scratch, "ca")
	if err := os.WriteFile(ca, in.certificates, 0o644); err != nil {
		return err
	}
	id, err := hashFile(ca)
	if err != nil {
		return err
	}
	m.Inputs = append(m.Inputs, id)
	for _, name := range []string{depot.KernelName, depot.InitramfsName, depot.ISOName} {
		id, err := hashFile(filepath.Join(scratch, name))
		if err != nil {
			return err
		}
		m.Files = append(m.Files, id)
	}
	return nil
}

// publish moves the result to its place.
func publish(m *depot.Manifest, scratch, out string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(scratch, depot.ManifestName), append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := publishLoaders(m.Loaders, scratch, out); err != nil {
		return err
	}
	for _, name := range []string{depot.KernelName, depot.InitramfsName, depot.ISOName, depot.ManifestName} {
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return nil
}
