package conductor

import (
	"context"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// netWorld is what a machine that boots from the network is given.
type netWorld struct {
	iface  string
	http   bool   // its BMC knows UefiHttp
	loader string // why there is none

	ramdisk error         // why there is none
	asked   agentapi.Role // whose was asked for last
}

func (n *netWorld) Ramdisk(role agentapi.Role) (kernel, initramfs metal.BootFile, err error) {
	n.asked = role
	if n.ramdisk != nil {
		return kernel, initramfs, n.ramdisk
	}
	return metal.BootFile{Name: "kernel", Size: 1, SHA256: "aa"}, metal.BootFile{Name: "initramfs", Size: 2, SHA256: "bb"}, nil
}

func (n *netWorld) Of(_, _, _ string) (string, error) {
	if n.loader != "" {
		return "", fault.New(fault.NotFound, "%s", n.loader)
	}
	return "loader", nil
}

// fromNetwork has the machine boot from the network.
func (w *world) fromNetwork(iface string) *netWorld {
	w.net = &netWorld{iface: iface}
	w.node.Interfaces["boot"] = iface
	return w.net
}

// fromNet: the machine has been told to boot from the network.
func (w *world) fromNet() bool {
	device := "pxe"
	if w.net != nil && w.net.http {
		device = "uefihttp"
	}
	return w.net != nil && w.boot.Device == device
}

func (w *world) addPort(mac string, pxe bool) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		return tx.CreatePort(&metal.Port{UUID: "22222222-2222-4222-8222-2222222222" + mac[len(mac)-2:], NodeUUID: w.node.UUID, Address: mac, PXEEnabled: pxe})
	})
}

// netBoot is what the machine may boot now.
func (w *world) netBoot() (b *metal.NetworkBoot) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) { b, err = tx.NetworkBootOf(w.node.ID); return err })
	return b
}

// TestNetworkBoots kills the conductor at every save of plans that boot from the network: they end as from a medium, and
// nothing is left that a machine could boot.
func TestNetworkBoots(t *testing.T) { onEach(t, testNetworkBoots) }

func testNetworkBoots(t *testing.T) {
	for iface, name := range map[string]string{metal.BootPXE: "deploy", metal.BootIPXE: "clean by hand, power", metal.BootHTTP: "undeploy", metal.BootHTTPIPXE: "inspect"} {
		t.Run(iface+" "+name, func(t *testing.T) {
			t.Parallel()
			j := named(t, name)
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := newWorld(t)
				defer w.close()
				w.fromNetwork(iface)
				j.start(w)
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				if n, a := w.state(); n.ProvisionState != j.end || n.LastError != "" || a != nil || w.disk != j.disk || w.on != j.runs {
					t.Errorf("%s: state %q, last_error %q, agent %v, disk %q, on %v", p.label(), n.ProvisionState, n.LastError, a != nil, w.disk, w.on)
				}
				if b := w.netBoot(); b != nil {
					t.Errorf("%s: boot %s is left", p.label(), b.Generation)
				}
				if w.counters["insert"] != 0 {
					t.Errorf("%s: a medium was inserted", p.label())
				}
				return w.effects()
			})
		})
	}
}

// TestANetworkBootSaysAll: what whoever answers the machine is told, while it is awaited.
func TestANetworkBootSaysAll(t *testing.T) {
	w := newWorld(t)
	w.fromNetwork(metal.BootHTTP).http = true
	named(t, "deploy").start(w)
	w.node, _ = w.state()
	w.node.Properties = map[string]any{metal.SystemUUIDProperty: "4C4C4544-0038-5910-8034-B2C04F4D3532"}
	w.save()
	w.addPort("52:54:00:00:00:0b", false)
	var seen *metal.NetworkBoot
	w.silent = true
	w.tune = func(c *Config) { c.NetKernelParams, c.DeployCallbackLimit = "nofb", 1 }
	c := w.conductor("c1", nil)
	c.tamper = func(steps []step) {
		for i := range steps {
			if run := steps[i].run; steps[i].name == "power on" {
				steps[i].run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
					if seen == nil {
						seen = w.netBoot()
						if seen != nil && seen.Generation != op.Rec.Boot {
							t.Error("the boot is another's")
						}
					}
					return run(r, ctx, op)
				}
			}
		}
	}
	w.run(c)
	if seen == nil || seen.Interface != metal.BootHTTP || strings.Join(seen.MACs, " ") != "52:54:00:00:00:01" || seen.Firmware != metal.UEFI || seen.Arch != "x86_64" || seen.SystemUUID != "4c4c4544-0038-5910-8034-b2c04f4d3532" ||
		len(seen.Key.Expose()) != 43 || seen.Kernel.SHA256 != "aa" || seen.Initramfs.SHA256 != "bb" || !strings.HasSuffix(seen.KernelParams, " boot_method=initramfs nofb") {
		t.Fatalf("%+v", seen)
	}
	if config := seen.Config.Expose(); !strings.Contains(config, `"agent_token":"`) || strings.Contains(seen.KernelParams, "token") {
		t.Error("the token is not where it belongs")
	}
	if w.netBoot() != nil {
		t.Error("a deploy that failed leaves something to boot")
	}
}

// TestRefusedNetworkBoots: what cannot work is refused before the machine is touched.
func TestRefusedNetworkBoots(t *testing.T) {
	for name, c := range map[string]struct {
		iface, want string
		change      func(*world)
	}{
		"no port":     {metal.BootIPXE, "no port that may boot", func(w *world) { w.write(func(tx *store.Tx) error { return dropPorts(tx, w.node) }) }},
		"no loader":   {metal.BootPXE, "run ingot ramdisk build", func(w *world) { w.net.loader = "run ingot ramdisk build" }},
		"secure":      {metal.BootIPXE, "is not signed", func(w *world) { w.firm.secure = true }},
		"secure http": {metal.BootHTTPIPXE, "ipxe_loader_is_signed", func(w *world) { w.firm.secure = true }},
		"template":    {metal.BootPXE, "pxe_template", func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("pxe_template", "/x"); w.save() }},
		"params": {metal.BootPXE, "kernel_append_params", func(w *world) {
			w.node.DriverInfo = w.node.DriverInfo.With("kernel_append_params", "a\nreboot")
			w.save()
		}},
		"an instance's": {metal.BootPXE, "belongs to the server", func(w *world) {
			w.node.InstanceInfo = w.node.InstanceInfo.With("kernel_append_params", "ipa-api-url=http://evil")
			w.save()
		}},
		"arm": {metal.BootPXE, "aarch64", func(w *world) { w.node.Properties = map[string]any{"cpu_arch": "arm64"}; w.save() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fromNetwork(c.iface)
			named(t, "rebuild").start(w)
			w.node, _ = w.state()
			c.change(w)
			w.run(w.conductor("c1", nil))
			if n, _ := w.state(); !strings.Contains(n.LastError, c.want) || !w.on || w.counters["power power off"] != 0 || w.netBoot() != nil {
				t.Errorf("last_error %q, on %v, %v", n.LastError, w.on, w.counters)
			}
		})
	}
}

func dropPorts(tx *store.Tx, n *metal.Node) error {
	ports, err := tx.PortsOf(n.ID)
	for _, p := range ports {
		if err == nil {
			err = tx.DeletePort(p.ID)
		}
	}
	return err
}

// TestWhyNoNetBoot: the sentence tells how far the machine came.
func TestWhyNoNetBoot(t *testing.T) {
	for _, c := range []struct {
		seen   string
		secure bool
		want   string
	}{
		{"", true, "never asked for its boot: see that the ports' MAC"},
		{metal.SeenOffer, false, "did not fetch it"},
		{"bootx64.efi", true, "fetched the boot loader bootx64.efi and then nothing: with Secure Boot on, its firmware refuses a loader that is not signed by a key it trusts"},
		{"bootx64.efi", false, "fetched the boot loader bootx64.efi and then nothing: look at its console"},
		{"kernel", true, "fetched the kernel and then nothing: with Secure Boot on, a kernel that is not signed"},
		{"boot.ipxe", true, "boot script and then nothing: look"},
		{"config", true, "fetched all that it boots: look at its console, and whether it reaches https://door"},
	} {
		if got := netStory(c.seen, c.secure) + ": " + netAdvice(c.seen, c.secure, "https://door"); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// whenStarted does something before each run of a step.
func whenStarted(w *world, name string, do func(*Op)) func([]step) {
	w.t.Helper()
	return func(steps []step) {
		for i := range steps {
			if run := steps[i].run; steps[i].name == name {
				steps[i].run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
					do(op)
					return run(r, ctx, op)
				}
			}
		}
	}
}

// TestLastErrorSaysHowFarANetworkBootCame: the agent does not call, and what the machine fetched last is known.
func TestLastErrorSaysHowFarANetworkBootCame(t *testing.T) {
	for name, c := range map[string]struct {
		secure     bool
		seen, want string
	}{
		"nothing":         {false, "", "the machine never asked for its boot: see that the ports' MAC addresses"},
		"refused loader":  {true, "bootx64.efi", "the machine fetched the boot loader bootx64.efi and then nothing: with Secure Boot on, its firmware refuses a loader"},
		"loader":          {false, "bootx64.efi", "the machine fetched the boot loader bootx64.efi and then nothing: look at its console"},
		"refused kernel":  {true, "kernel", "with Secure Boot on, a kernel that is not signed by a key which the machine trusts is refused"},
		"all, and silent": {true, "config", "the machine fetched all that it boots: look at its console, and whether it reaches "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			defer w.close()
			w.fromNetwork(metal.BootPXE)
			named(t, "deploy").start(w)
			w.silent, w.firm.secure = true, c.secure
			w.tune = func(conf *Config) { conf.DeployCallbackLimit = 1 }
			conductor := w.conductor("c1", nil)
			conductor.tamper = whenStarted(w, "power on", func(op *Op) {
				w.write(func(tx *store.Tx) error { return tx.SeeNetworkBoot(op.Rec.Boot, c.seen) })
			})
			w.run(conductor)
			if n, _ := w.state(); n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, c.want) {
				t.Errorf("state %q, last_error %q, want %q", n.ProvisionState, n.LastError, c.want)
			}
			if w.netBoot() != nil {
				t.Error("something is left to boot")
			}
		})
	}
}
