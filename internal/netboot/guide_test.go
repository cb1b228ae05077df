package netboot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block is the first code block of a kind in the guide.
func block(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/guides/network-boot.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+kind+"\n")
	body, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("the guide has no block %s", kind)
	}
	return body
}

func TestGuideNetworks(t *testing.T) {
	networks, err := ParseNetworks([]byte(block(t, "yaml")))
	if err != nil || len(networks) != 2 || networks[0].Reservations[macA].String() != "192.0.2.10" {
		t.Errorf("%v, %v", networks, err)
	}
}

func TestGuideDnsmasq(t *testing.T) {
	program, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed: scripts/prepare.sh installs it")
	}
	conf := filepath.Join(t.TempDir(), "dnsmasq.conf")
	if err := os.WriteFile(conf, []byte(block(t, "conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "--test", "--conf-file="+conf).CombinedOutput(); err != nil {
		t.Errorf("dnsmasq does not take the guide's configuration: %s", out)
	}
}

func TestNetworksThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ file, says string }{
		{"networks: [{name: a, interface: lo, dhcp: maybe}]", "server, proxy or off"},
		{"networks: [{name: a, interface: lo, dhcp: server, subnet: 192.0.2.0/24}]", "needs a range"},
		{"networks: [{name: a, interface: lo, dhcp: server, subnet: 192.0.2.1/24, range: 192.0.2.5-192.0.2.6}]", "subnet must be"},
		{"networks: [{name: a, interface: lo, dhcp: server, subnet: 192.0.2.0/24, range: 192.0.3.5-192.0.3.6}]", "not within"},
		{"networks: [{name: a, interface: lo, dhcp: server, subnet: 192.0.2.0/24, range: 192.0.2.5}]", "FROM-TO"},
		{"networks: [{name: a, interface: lo, dhcp: server, subnet: 10.0.0.0/8, range: 10.0.0.1-10.9.0.0}]", "more than"},
		{"networks: [{name: a, interface: lo, nonsense: 1}]", "nonsense"},
		{"networks: [{name: a/b, interface: lo}]", "name"},
		{"networks: [{name: a, interface: lo, dhcpv6: server}]", "subnet6 and range6"},
		{"networks: [{name: a, interface: lo}, {name: b, interface: lo}]", "relayed"},
		{"networks: [{name: a, interface: lo, dhcp: proxy, subnet: 192.0.2.0/24}, {name: b, interface: l2, dhcp: proxy, subnet: 192.0.2.0/25}]", "overlaps"},
	} {
		if _, err := ParseNetworks([]byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.file, err, tt.says)
		}
	}
}
