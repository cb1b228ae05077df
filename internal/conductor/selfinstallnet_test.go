package conductor

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// viaNet is the journey of a machine that boots its installer by a boot interface.
func viaNet(iface string) journey {
	for _, j := range selfJourneys {
		if byNetwork[j.name] == iface {
			return j
		}
	}
	panic("no journey by " + iface)
}

// An installer from the network is a boot of this node alone, without a token, until it is heard.
func TestREQ29And30AnInstallerIsBootedOnceFromTheNetwork(t *testing.T) {
	for iface, device := range map[string]string{metal.BootHTTP: "uefihttp", metal.BootIPXE: "pxe"} {
		t.Run(iface, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			j := viaNet(iface)
			j.start(w)
			w.net.http = device == "uefihttp"
			w.node, _ = w.state()
			w.node.Properties = map[string]any{metal.SystemUUIDProperty: "4C4C4544-0038-5910-8034-B2C04F4D3532"}
			w.save()
			w.write(func(tx *store.Tx) error {
				return tx.SaveAgent(&store.Agent{NodeID: w.node.ID, NodeUUID: w.node.UUID, Boot: "of before", Token: secret.New("canary-token")})
			})
			w.addPort("52:54:00:00:00:0b", false)
			looked := false
			w.self.at = func(w *world) {
				w.self.at, looked = nil, true
				w.nothingToBoot("after the installer was heard")
				if _, a := w.state(); a != nil || len(w.images.held) != 0 {
					t.Errorf("while it installs: agent %v, %d files are kept", a != nil, len(w.images.held))
				}
				if w.boot != (metal.BootDevice{Device: device}) || !w.wires.on[metal.TenantNetwork] || w.wires.on[metal.ProvisioningNetwork] {
					t.Errorf("it runs the installer from %+v on %v", w.boot, w.wires.on)
				}
			}
			w.run(w.conductor("c1", nil))
			j.arrived(t, w, "after it")
			b := w.self.read
			if !looked || w.self.boots != 1 || b == nil {
				t.Fatalf("%d boots, of %v", w.self.boots, b != nil)
			}
			if !b.Installer || b.Interface != iface || strings.Join(b.MACs, " ") != "52:54:00:00:00:01" || b.SystemUUID != "4c4c4544-0038-5910-8034-b2c04f4d3532" || b.Firmware != metal.UEFI || len(b.Key.Expose()) != 43 ||
				time.Until(b.Expires) < time.Hour || !b.Config.Empty() {
				t.Errorf("the machine was to boot %+v", b)
			}
			iso := metal.BootFile{Name: "shelf-boot.iso", Size: int64(len("http://installers.example/i.iso")), SHA256: testHash}
			kernel := metal.BootFile{Name: "shelf-kernel", Size: int64(len("http://installers.example/linux")), SHA256: testHash}
			initramfs := metal.BootFile{Name: "shelf-initramfs", Size: int64(len("http://installers.example/initrd.gz")), SHA256: otherHash}
			if iface == metal.BootHTTP && (b.ISO != iso || b.Kernel.Name+b.Initramfs.Name != "") ||
				iface == metal.BootIPXE && (b.Kernel != kernel || b.Initramfs != initramfs || b.ISO.Name != "" || !strings.HasSuffix(b.KernelParams, "auto url=http://installers.example/p.cfg")) {
				t.Errorf("its files: %+v, %+v, %+v, with %q", b.ISO, b.Kernel, b.Initramfs, b.KernelParams)
			}
			for what := range w.counters {
				if strings.HasPrefix(what, "agent ") {
					t.Errorf("an agent was asked: %s", what)
				}
			}
		})
	}
}

// Before its machine is touched everything is refused that cannot work, with what to do.
func TestNetworkInstallersThatCannotBeBooted(t *testing.T) {
	with := func(more map[string]any) func(*world) {
		return func(w *world) {
			for k, v := range more {
				w.node.InstanceInfo = w.node.InstanceInfo.With(k, v)
			}
		}
	}
	for name, c := range map[string]struct {
		iface, want string
		set         func(*world)
	}{
		"an ISO by ipxe":   {metal.BootIPXE, "give both in place of boot_iso", with(map[string]any{"boot_iso": "http://installers.example/i.iso"})},
		"an ISO by pxe":    {metal.BootHTTP, "set it to ipxe or http-ipxe", func(w *world) { w.net.iface, w.node.Interfaces["boot"] = metal.BootPXE, metal.BootPXE }},
		"no ISO by http":   {metal.BootHTTP, "boots a whole ISO", with(map[string]any{"boot_iso": "", "kernel": "http://x/k", "ramdisk": "http://x/r"})},
		"half of it":       {metal.BootIPXE, "set kernel and ramdisk in its instance_info", with(map[string]any{"ramdisk": ""})},
		"a user in it":     {metal.BootIPXE, "The ramdisk in the instance_info", with(map[string]any{"ramdisk": "http://u:p@h/r"})},
		"a bad checksum":   {metal.BootIPXE, "checksum", with(map[string]any{"ramdisk_checksum": "12"})},
		"Neutron":          {metal.BootHTTP, "redfish-virtual-media", func(w *world) { w.node.Interfaces["network"] = "neutron" }},
		"boot hosts":       {metal.BootHTTP, "by virtual media only", func(w *world) { w.images.here = false }},
		"no port":          {metal.BootHTTP, "no port that may boot", func(w *world) { w.write(func(tx *store.Tx) error { return dropPorts(tx, w.node) }) }},
		"no loader":        {metal.BootIPXE, "run ingot ramdisk build", func(w *world) { w.net.loader = "run ingot ramdisk build" }},
		"BIOS":             {metal.BootHTTP, "needs UEFI", func(w *world) { w.firm.legacy = true }},
		"Secure Boot":      {metal.BootIPXE, "is not signed", func(w *world) { w.firm.secure = true }},
		"a template":       {metal.BootIPXE, "pxe_template", func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("pxe_template", "/x") }},
		"a line":           {metal.BootIPXE, "kernel_append_params", with(map[string]any{"kernel_append_params": "a\nshell"})},
		"words of ours":    {metal.BootIPXE, "belongs to the server", with(map[string]any{"kernel_append_params": "ipa-api-url=http://evil"})},
		"other content":    {metal.BootHTTP, "it has not the checksum", func(w *world) { w.images.err = fault.New(fault.Invalid, "it has not the checksum") }},
		"nowhere to serve": {metal.BootHTTP, "has no installer to boot: set boot_iso", func(w *world) { w.node.InstanceInfo = secret.NewMap(nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			j := viaNet(c.iface)
			j.start(w)
			on := w.on
			w.node, _ = w.state()
			c.set(w)
			w.save()
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, c.want) || w.counters["power power off"]+w.counters["power power on"] > 0 || w.on != on {
				t.Errorf("%s, %q, %v", n.ProvisionState, n.LastError, w.counters)
			}
			w.nothingToBoot("refused")
		})
	}
}

// What ends an installation leaves nothing to boot, and the disk as boot device; the error says how far the machine came.
func TestREQ17AnInstallerFromTheNetworkThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		seen string
		set  func(*world)
		want string
	}{
		"not asked for":  {"", func(w *world) { w.self.mute = true }, "the machine never asked for its boot: see that the ports' MAC addresses"},
		"not fetched":    {metal.SeenOffer, func(w *world) { w.self.mute = true }, "did not fetch it"},
		"fetched":        {"boot.iso", func(w *world) { w.self.mute = true }, "the machine fetched its installer; it may not have started it, or it does not read http://169.254.169.254"},
		"an exit code":   {"", func(w *world) { w.self.code = 3 }, "the installer ended with code 3"},
		"no end":         {"", func(w *world) { w.self.never = true }, `the last that it said was stage "write"`},
		"it is switched": {"", func(w *world) { w.self.at = func(w *world) { w.off() } }, "had not said that it ended"},
		"aborted": {"", func(w *world) {
			w.self.at = func(w *world) {
				w.self.never = true
				w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "alice") })
			}
		}, "aborted by request of alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := viaNet(metal.BootHTTP).begin(t)
			c.set(w)
			switch {
			case w.self.mute:
				w.shortly(200*time.Millisecond, time.Hour)
			case w.self.never && w.self.at == nil:
				w.shortly(time.Hour, 500*time.Millisecond)
			}
			conductor := w.conductor("c1", nil)
			if c.seen != "" {
				conductor.tamper = whenStarted(w, "start installer", func(op *Op) {
					w.write(func(tx *store.Tx) error { return tx.SeeNetworkBoot(op.Rec.Boot, c.seen) })
				})
			}
			w.run(conductor)
			w.failedInstall(c.want)
			w.self = selfWorld{}
			w.node, _ = w.state()
			w.tune = nil
			w.ask(metal.PlanDeploy, metal.EventDeploy, secretAsk)
			w.run(w.conductor("c1", nil))
			viaNet(metal.BootHTTP).arrived(t, w, "second try")
		})
	}
}

// The server that has the installer is gone before that was heard: another brings it, and the machine boots it anew.
func TestANetworkInstallerIsBootedAnew(t *testing.T) {
	w := viaNet(metal.BootIPXE).begin(t)
	w.self.lost = 1
	first := w.conductor("c1", nil)
	crashed := false
	first.crash = func(string) error {
		n, _ := w.state()
		if crashed = crashed || n.ProvisionState == metal.DeployWait; crashed {
			return errStop
		}
		return nil
	}
	var before *metal.NetworkBoot
	w.onDeath = func(string) {
		before = w.netBoot()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.images.at = "http://192.0.2.10"
	}
	w.write(func(tx *store.Tx) error {
		return tx.SaveServer(store.Server{Name: "successor", Place: "p", Roles: []string{"conductor"}, BootURL: "http://192.0.2.10"}, time.Minute)
	})
	w.run(first)
	viaNet(metal.BootIPXE).arrived(t, w, "after it")
	if before == nil || w.self.read == nil || w.self.read.Generation == before.Generation || w.counters["power power on"] != 3 { // twice the installer, then the instance
		t.Errorf("first %v, then %v, %v", before, w.self.read, w.counters)
	}
}

// Whoever asks whether a node is as it should be is told what its installer lacks.
func TestNetworkInstallersAreValidated(t *testing.T) {
	for _, c := range []struct {
		iface, want string
		info        map[string]any
	}{
		{metal.BootHTTP, "", map[string]any{"boot_iso": "http://installers.example/i.iso"}},
		{metal.BootHTTPIPXE, "", map[string]any{"kernel": "http://installers.example/k", "ramdisk": "http://installers.example/r"}},
		{metal.BootIPXE, "set kernel and ramdisk", map[string]any{"kernel": "http://installers.example/k"}},
		{metal.BootIPXE, "give both in place of boot_iso", map[string]any{"boot_iso": "http://installers.example/i.iso"}},
		{metal.BootPXE, "boots no installers", map[string]any{"boot_iso": "http://installers.example/i.iso"}},
	} {
		w := newWorld(t)
		w.images = &imageHost{w: w, here: true, held: map[string]Image{}}
		w.fromNetwork(c.iface)
		w.node.Interfaces["deploy"], w.node.InstanceInfo = metal.DeployOS, secret.NewMap(c.info)
		w.addPort("52:54:00:00:00:01", true)
		if v := w.validatedKind("deploy"); v.Result == nil || *v.Result != (c.want == "") || !strings.Contains(v.Reason, c.want) {
			t.Errorf("%s: %v, %q", c.iface, v.Result != nil && *v.Result, v.Reason)
		}
	}
}
