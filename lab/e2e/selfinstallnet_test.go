package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/lab"
	"ingot/lab/bmc"
)

// isoURI is what firmware prints of the ISO that it fetches.
var isoURI = regexp.MustCompile(`URI: (http://\S{1,200}?/boot\.iso)`)

// TestREQ29And30SelfInstallFromTheNetwork has a machine install itself from an ISO that its firmware fetches from the role netboot, on its
// user's network: once, and from its disk ever after.
func TestREQ29And30SelfInstallFromTheNetwork(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1; TestREQ29And30SelfInstall boots the same installer from virtual media, TestNetworkBootUnderSecureBoot ramdisks by http")
	}
	labOnly(t)
	x := newSelfLab(t, func(c *lab.Config) {
		c.Name, c.Subnet, c.MemoryMiB = "selfnet", netip.MustParsePrefix("198.18.97.0/24"), 2048
	}, map[string]any{"boot_interface": metal.BootHTTP},
		"netboot.http_listen="+cloudSide+":80", "default.enabled_boot_interfaces=http,redfish-virtual-media")
	x.installing("ends", "--os-parameter", "system="+x.offers(filepath.Join(x.folder, "cd"), cloudSide)+"esp.img")
	var uri string
	await(t, later, "the firmware to fetch the ISO", func() (bool, error) {
		text, err := x.machine.Console(1 << 20)
		if found := isoURI.FindStringSubmatch(escapes.ReplaceAllString(string(text), "")); found != nil {
			uri = found[1]
		}
		return uri != "", err
	})
	if err := x.head(uri); err != nil {
		t.Errorf("the installer during its boot: %v", err)
	}
	x.rests(metal.Active, later)
	if err := x.head(uri); !errors.Is(err, errNotServed) {
		t.Errorf("the installer after its boot: %v, and it should not be served", err)
	}
	x.bootsItsDisk()
	x.installed()
	x.saidNothingSecret()
	var system struct {
		Boot struct{ BootSourceOverrideEnabled, BootSourceOverrideTarget string }
	}
	x.read(bmc.SystemPath, &system)
	if target := system.Boot.BootSourceOverrideTarget; (target == "UefiHttp" || target == "Pxe") && system.Boot.BootSourceOverrideEnabled != "Disabled" {
		t.Errorf("it is left %+v", system.Boot)
	}
	text, err := x.machine.Console(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(escapes.ReplaceAllString(string(text), ""), uri); n != 1 {
		t.Errorf("its firmware fetched the installer %d times", n)
	}
}

// head asks for a file of the user's network, as the machine does.
func (x *selfLab) head(address string) error {
	x.t.Helper()
	req, err := http.NewRequestWithContext(x.t.Context(), http.MethodHead, address, nil)
	if err != nil {
		return err
	}
	in := http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, _, to string) (net.Conn, error) { return x.control.dial(to) }}}
	res, err := in.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return errNotServed
	}
	return errors.New(res.Status)
}
