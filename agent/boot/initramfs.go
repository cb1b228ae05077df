package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
)

// ErrNoInitramfs: the initramfs holds no configuration.
var ErrNoInitramfs = errors.New("the initramfs holds no " + configFile)

// FromInitramfs reads the configuration that a boot from the network brought as a second initramfs, and removes it: the
// token is for this process. Errors: ErrNoInitramfs, or what is wrong with it.
func FromInitramfs(root string) (agentapi.BootConfig, error) {
	name := filepath.Join(root, configFile)
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return agentapi.BootConfig{}, ErrNoInitramfs
	}
	if err != nil {
		return agentapi.BootConfig{}, fmt.Errorf("open %s: %w", configFile, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err = errors.Join(err, f.Close(), os.Remove(name)); err != nil {
		return agentapi.BootConfig{}, fmt.Errorf("read %s once: %w", configFile, err)
	}
	return Parse(data)
}

// Initramfs tells whether the configuration is promised to be in the initramfs.
func (p Params) Initramfs() bool { return p["boot_method"] == "initramfs" }
