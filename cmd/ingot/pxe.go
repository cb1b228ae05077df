package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/metal"
)

// bootFromNetwork lets the conductor boot machines from the network.
func (s *server) bootFromNetwork() error {
	l, err := s.netLoaders()
	if err != nil {
		return err
	}
	s.worker.BootFromNetwork(netDepot{s.files, l})
	return nil
}

// pushedFiles are the files of network boots that go to boot hosts.
func (s *server) pushedFiles() (*depot.NetFiles, error) {
	l, err := s.netLoaders()
	if err != nil {
		return nil, err
	}
	scripts, err := bootScripts(s.c.PXE)
	return s.files.NetFiles(l, scripts), err
}

// netDepot is what the conductor asks about network boots.
type netDepot struct {
	files *depot.Depot
	*depot.Loaders
}

func (d netDepot) Ramdisk(role agentapi.Role) (kernel, initramfs metal.BootFile, err error) {
	return d.files.Ramdisk(role)
}

// roleDirs are the ramdisk folders of roles that have one of their own: the Debian ramdisk's.
func roleDirs(data string) map[agentapi.Role]string {
	dir := filepath.Join(data, "ramdisk-debian")
	return map[agentapi.Role]string{agentapi.RoleRescue: dir, agentapi.RoleInstall: dir}
}

// netLoaders opens the boot loaders of this process, and copies those that the configuration names.
func (s *server) netLoaders() (*depot.Loaders, error) {
	if s.loaders != nil {
		return s.loaders, nil
	}
	c, err := loaderConfig(s.c.PXE)
	if err == nil {
		s.loaders, err = depot.OpenLoaders(filepath.Join(s.f.data, "ramdisk"), c)
	}
	return s.loaders, err
}

// bootScripts reads the templates that the configuration names.
func bootScripts(c config.PXE) (*depot.Scripts, error) {
	return depot.ReadScripts(c.IPXEConfigTemplate, c.UEFIPXEConfigTemplate, c.IPXETimeout*1000)
}

func loaderConfig(c config.PXE) (depot.LoaderConfig, error) {
	out := depot.LoaderConfig{TFTPRoot: c.TFTPRoot, Paths: c.LoaderFilePaths, UEFIPXE: c.UEFIPXEBootfileName, PXE: c.PXEBootfileName,
		UEFIIPXE: c.UEFIIPXEBootfileName, IPXE: c.IPXEBootfileName, PXEByArch: c.PXEBootfileNameByArch, IPXEByArch: c.IPXEBootfileNameByArch}
	switch {
	case c.IPXEFallbackScript != "":
		return out, errors.New("[pxe] ipxe_fallback_script is not offered: a machine that is not known is not answered")
	case c.EnableInsecureTemplateOverride:
		return out, errors.New("[pxe] enable_insecure_template_override is not offered: whoever may edit a node could have its firmware run anything; use ipxe_config_template or uefi_pxe_config_template")
	case c.PXEConfigTemplate != "" && !strings.HasPrefix(c.PXEConfigTemplate, "$pybasedir/"):
		return out, errors.New("[pxe] pxe_config_template is not offered: there is no pxelinux here, machines in BIOS mode boot with the boot interface ipxe")
	}
	var err error
	if out.FileMode, err = fileMode("file_permission", c.FilePermission); err == nil && c.DirPermission != "" {
		out.DirMode, err = fileMode("dir_permission", c.DirPermission)
	}
	return out, err
}

// fileMode reads a file mode as Ironic writes them: 0644, 0o644 or 644.
func fileMode(option, text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(text, "0o"), "0O"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("[pxe] %s: %q is not a mode like 0644", option, text)
	}
	return fs.FileMode(n), nil
}
