package conductor

import (
	"slices"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// selfJourneys are those of machines that boot an installer of their user's.
var selfJourneys = []journey{
	{"self install", metal.PlanDeploy, metal.Available, metal.EventDeploy, secretAsk, metal.Active, metal.DeployFailed, false, true, "by itself"},
	{"self install anew", metal.PlanDeploy, metal.Active, metal.EventRebuild, "{}", metal.Active, metal.DeployFailed, true, true, "by itself"},
	{"self install by http", metal.PlanDeploy, metal.Active, metal.EventRebuild, secretAsk, metal.Active, metal.DeployFailed, true, true, "by itself"},
	{"self install by ipxe", metal.PlanDeploy, metal.Available, metal.EventDeploy, "{}", metal.Active, metal.DeployFailed, false, true, "by itself"},
}

// byNetwork are the boot interfaces of those that boot it from the network.
var byNetwork = map[string]string{"self install by http": metal.BootHTTP, "self install by ipxe": metal.BootIPXE}

// selfWorld is the part of an installer in the world.
type selfWorld struct {
	code   int  // that it ends with
	never  bool // it does not end
	mute   bool // it says nothing at all
	at     func(*world)
	boots  int // how often it was started
	booted bool
	lost   int                // so many starts of the machine find nobody who serves its boot
	starts int                // of the machine, when it booted from the network
	read   *metal.NetworkBoot // what it booted then
}

func (j journey) bySelf() bool {
	return slices.ContainsFunc(selfJourneys, func(o journey) bool { return o.name == j.name })
}

// selfInstallable gives the world's node what such a journey needs.
func (w *world) selfInstallable(j journey) {
	w.t.Helper()
	if !j.bySelf() {
		return
	}
	w.node.Interfaces["deploy"] = metal.DeployOS
	w.node.InstanceInfo = secret.NewMap(map[string]any{"boot_iso": "http://installers.example/i.iso", "boot_iso_checksum": testHash, "configdrive": map[string]any{"user_data": "#cloud-config\n"}})
	w.images = &imageHost{w: w, at: "http://192.0.2.9", held: map[string]Image{}}
	if iface := byNetwork[j.name]; iface != "" {
		w.images.here = true
		w.fromNetwork(iface)
		if iface != metal.BootHTTP {
			w.node.InstanceInfo = secret.NewMap(map[string]any{"kernel": "http://installers.example/linux", "kernel_checksum": testHash,
				"ramdisk": "http://installers.example/initrd.gz", "ramdisk_checksum": otherHash, "kernel_append_params": "auto url=http://installers.example/p.cfg"})
		}
	}
	install := store.OSInstall{Mode: osdef.ModeSelfInstall, Safe: true, Package: "https://packages.example/p.tar.gz", Parameters: osdef.Classes{Public: map[string]string{"mirror": "http://mirror.example"},
		Private: map[string]secret.Secret{"token": secret.New(privateCanary)}}}
	if j.record == secretAsk {
		install.Secrets = []string{"root-key"}
		w.held = &keeping{values: map[string]string{metal.OSSecretParameter + "root-key": secretCanary, metal.OSCredential + "password": "canary-password-123"}}
	}
	w.write(func(tx *store.Tx) error { return tx.SaveOSInstall(w.node, &install) })
}

// installItself is what a machine does that runs an installer: one thing at each call.
func (w *world) installItself() {
	net := w.bootsInstaller()
	w.mu.Lock()
	runs := w.images != nil && w.on && (net || w.boot.Device == "cdrom" && w.media == w.images.at+"/pushed/image")
	if !runs {
		w.self.booted = false
		w.mu.Unlock()
		return
	}
	if !w.self.booted {
		w.self.booted = true
		w.self.boots++
	}
	w.mu.Unlock()
	if w.self.mute {
		return
	}
	var at func(*world)
	defer func() {
		if at != nil {
			at(w)
		}
	}()
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		c, err := tx.OSChannel(n)
		live, liveErr := tx.LiveOperation(n.ID)
		switch {
		case err != nil || liveErr != nil:
			return err
		case c == nil || live == nil || live.UUID != c.Deploy || c.Progress.Final:
			return nil
		case c.SeenAt.IsZero():
			return tx.SeeOSChannel(n, c.Deploy)
		case c.Progress.Stage == "":
			says := "partitioning with " + privateCanary
			if w.held != nil {
				says += " and " + secretCanary
			}
			if err := tx.PutOSMessage(n, c.Deploy, store.ToServer, []byte(says+"\n"), nil); err != nil {
				return err
			}
			return tx.SaveOSProgress(n, c.Deploy, agentapi.OSProgress{Stage: "write", Percent: 40, Message: "half of it"}, map[string]int{"write": 40})
		case live.StepName != "self install" || w.self.never:
			return nil
		}
		if w.self.at != nil {
			at = w.self.at
			return nil
		}
		w.disk = "by itself"
		return tx.SaveOSProgress(n, c.Deploy, agentapi.OSProgress{Stage: "write", Percent: 100, Message: "done", Final: true, Code: w.self.code}, map[string]int{"write": 100})
	})
}

// bootsInstaller tells whether the machine runs an installer that it booted from the network: what it may boot it reads once at each start.
func (w *world) bootsInstaller() bool {
	w.t.Helper()
	w.mu.Lock()
	starts, boots := w.counters["power power on"], w.net != nil && w.images != nil && w.on && w.fromNet()
	w.mu.Unlock()
	if !boots || starts <= w.self.lost || w.self.read != nil && w.self.starts == starts {
		return boots && starts > w.self.lost
	}
	w.self.booted, w.self.read = false, nil
	w.write(func(tx *store.Tx) (err error) {
		w.self.read, err = tx.NetworkBootByMAC("52:54:00:00:00:01")
		return err
	})
	w.self.starts = starts
	return w.self.read != nil && w.self.read.Installer
}

// otherHash is a checksum that no other file has.
const otherHash = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

// selfArrived checks what such a journey leaves.
func (w *world) selfArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	if !j.bySelf() {
		return
	}
	if w.boot != (metal.BootDevice{Device: "disk", Persistent: true}) || len(w.images.held) != 0 || n.InternalInfo[metal.DeployProgressKey] != nil {
		w.t.Errorf("%s: it boots from %+v, of its medium %d are kept, progress %v", label, w.boot, len(w.images.held), n.InternalInfo[metal.DeployProgressKey])
	}
	if byNetwork[j.name] != "" && w.counters["insert"] != 0 {
		w.t.Errorf("%s: a medium was inserted", label)
	}
	w.nothingToBoot(label)
	w.channelGone(label)
	w.silentOf(label)
}

func (w *world) nothingToBoot(label string) {
	w.t.Helper()
	if b := w.netBoot(); b != nil {
		w.t.Errorf("%s: the boot %s is left", label, b.Generation)
	}
}

func (w *world) channelGone(label string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		c, err := tx.OSChannel(w.node)
		if c != nil {
			w.t.Errorf("%s: the channel is still there", label)
		}
		return err
	})
}
