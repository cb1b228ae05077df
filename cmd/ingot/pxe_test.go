package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/depot"
)

// The lines of the seed about PXE, with its paths below a folder of the test's.
func TestPXELinesOfIronic(t *testing.T) {
	dir := t.TempDir()
	shim := filepath.Join(dir, "shimx64.efi.signed")
	c := config.Defaults().PXE
	c.UEFIPXEConfigTemplate = "$pybasedir/drivers/modules/pxe_grub_config.template"
	c.TFTPRoot, c.LoaderFilePaths = filepath.Join(dir, "tftpboot"), []string{"bootx64.efi:" + shim}
	lc, err := loaderConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := depot.OpenLoaders(dir, lc); err == nil || !strings.Contains(err.Error(), shim) {
		t.Errorf("a missing source: %v", err)
	}
	if err := os.WriteFile(shim, []byte("shim"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := depot.OpenLoaders(dir, lc); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(c.TFTPRoot, "bootx64.efi")); err != nil || info.Mode().Perm() != 0o644 {
		t.Error(info, err)
	}
	if _, err := bootScripts(c); err != nil {
		t.Error(err)
	}
}

func TestPXEOptionsThatAreRefused(t *testing.T) {
	for want, change := range map[string]func(*config.PXE){
		"ipxe_fallback_script":              func(c *config.PXE) { c.IPXEFallbackScript = "x.ipxe" },
		"enable_insecure_template_override": func(c *config.PXE) { c.EnableInsecureTemplateOverride = true },
		"pxe_config_template":               func(c *config.PXE) { c.PXEConfigTemplate = "/etc/pxe" },
		"file_permission":                   func(c *config.PXE) { c.FilePermission = "rw" },
		"dir_permission":                    func(c *config.PXE) { c.DirPermission = "7777" },
	} {
		c := config.Defaults().PXE
		change(&c)
		if _, err := loaderConfig(c); err == nil || !strings.Contains(err.Error(), "[pxe] "+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
