package ramdisk

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"ingot/internal/depot"
)

// The boot loaders for the network, in Debian's packages.
const (
	netGrubFile = "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"
	ipxePackage = "ipxe"
	ipxeFolder  = "usr/lib/ipxe"
)

// netLoaders finds the boot loaders for the network: those given, and Debian's where its packages are used. A ramdisk without
// them boots from virtual media as ever, so what is missing is said and no error.
func (o *Options) netLoaders(ctx context.Context, d *debian, shim string) ([]placed, error) {
	packages := slices.Contains([]string{o.Kernel, o.Shim, o.Grub, o.CA}, "")
	grub, ipxe := o.NetGrub, o.IPXE
	if grub == "" && packages {
		if dir, err := d.unpacked(ctx, grubPackage); err == nil {
			grub = filepath.Join(dir, netGrubFile)
		}
	}
	if ipxe == "" && packages {
		dir, err := d.unpacked(ctx, ipxePackage)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			ipxe = filepath.Join(dir, ipxeFolder)
		} else {
			o.say("without iPXE: %v", err)
		}
	}
	var out []placed
	add := func(name, source string) {
		if _, err := os.Stat(source); err == nil {
			out = append(out, placed{name: name, source: source})
			return
		}
		o.say("without the boot loader %s: there is no %s", name, source)
	}
	if grub != "" {
		add(depot.LoaderShim, shim)
		add(depot.LoaderGrub, grub)
	}
	if ipxe != "" {
		add(depot.LoaderIPXE, filepath.Join(ipxe, depot.LoaderIPXE))
		add(depot.LoaderIPXEBIOS, filepath.Join(ipxe, depot.LoaderIPXEBIOS))
	}
	return out, nil
}

// placeLoaders copies them and says what they are.
func placeLoaders(loaders []placed, dir string) ([]depot.File, error) {
	if len(loaders) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []depot.File
	for _, l := range loaders {
		to := filepath.Join(dir, l.name)
		if err := copyFile(to, l.source); err != nil {
			return nil, err
		}
		id, err := hashFile(to)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// publishLoaders moves them to their place.
func publishLoaders(loaders []depot.File, scratch, out string) error {
	if len(loaders) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(out, depot.LoaderFolder), 0o755); err != nil {
		return err
	}
	for _, l := range loaders {
		if err := os.Rename(filepath.Join(scratch, depot.LoaderFolder, l.Name), filepath.Join(out, depot.LoaderFolder, l.Name)); err != nil {
			return err
		}
	}
	return nil
}
