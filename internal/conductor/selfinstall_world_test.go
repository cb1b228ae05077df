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
}

// selfWorld is the part of an installer in the world.
type selfWorld struct {
	code   int  // that it ends with
	never  bool // it does not end
	mute   bool // it says nothing at all
	at     func(*world)
	boots  int // how often it was started
	booted bool
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
	w.mu.Lock()
	runs := w.images != nil && w.on && w.boot.Device == "cdrom" && w.media == w.images.at+"/pushed/image"
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

// selfArrived checks what such a journey leaves.
func (w *world) selfArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	if !j.bySelf() {
		return
	}
	if w.boot != (metal.BootDevice{Device: "disk", Persistent: true}) || len(w.images.held) != 0 || n.InternalInfo[metal.DeployProgressKey] != nil {
		w.t.Errorf("%s: it boots from %+v, of its medium %d are kept, progress %v", label, w.boot, len(w.images.held), n.InternalInfo[metal.DeployProgressKey])
	}
	w.channelGone(label)
	w.silentOf(label)
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
