package e2e

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"ingot/internal/depot"
	"ingot/internal/ramdisk"
	labguest "ingot/lab/guest"
)

// building is held while packages are fetched to a cache, or read there.
var building sync.Mutex

// makeRamdisk makes one. Its packages are kept in the user's cache directory.
func makeRamdisk(t *testing.T, o ramdisk.Options) *depot.Manifest {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	o.Work, o.Say = ramdiskCache(), func(line string) { t.Log(line) }
	made, err := ramdisk.Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func ramdiskCache() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/var/cache"
	}
	return filepath.Join(cache, "ingot", "ramdisk")
}

// debianImage is made once, and then in the user's cache directory.
var debianImage = sync.OnceValues(func() (*labguest.Image, error) { return labguest.Build(context.Background(), labguest.Options{}) })

// guestImage is the Debian that tests deploy.
func guestImage(t *testing.T) *labguest.Image {
	t.Helper()
	img, err := debianImage()
	if err != nil {
		t.Fatal(err)
	}
	return img
}
