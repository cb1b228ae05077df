package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/peer"
)

func TestNetworksThatAreWrong(t *testing.T) {
	if got := examineNetworks(config.Netboot{}); got != nil {
		t.Errorf("no file: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "networks.yaml")
	if got := examineNetworks(config.Netboot{NetworksFile: file}); len(got) != 1 || got[0].Level != metal.Fail {
		t.Errorf("a file that is not there: %+v", got)
	}
	for text, want := range map[string]metal.Level{
		"networks:\n- name: here\n  interface: lo\n  dhcp: \"off\"\n  subnet: 127.0.0.0/8\n  server: 127.0.0.1\n": metal.Fine,
		"networks:\n- nam: here\n": metal.Fail,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := examineNetworks(config.Netboot{NetworksFile: file}); len(got) != 1 || got[0].Level != want {
			t.Errorf("%q: %+v, want %s", text, got, want)
		}
	}
}

func TestBootHostsThatAreNone(t *testing.T) {
	at := peer.Server{Name: "boot1", URL: "https://198.51.100.9:6388"}
	right := peer.Hello{Roles: []peer.Role{peer.Boot}, BootURL: "http://198.51.100.9:6387"}
	for name, c := range map[string]struct {
		hello peer.Hello
		err   error
		want  metal.Level
	}{
		"right":       {right, nil, metal.Fine},
		"silent":      {peer.Hello{}, errors.New("dial tcp"), metal.Fail},
		"a conductor": {peer.Hello{Roles: []peer.Role{peer.Conductor}}, nil, metal.Fail},
	} {
		if got := examineHello(at, c.hello, c.err); got.Level != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
