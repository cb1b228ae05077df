package conductor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// osWorld is a world whose node is about to go the journey.
func osWorld(t *testing.T, name string) *world {
	t.Helper()
	w := newWorld(t)
	named(t, name).start(w)
	return w
}

const (
	withAll     = "install with an image and a package"
	withScripts = "install with scripts alone"
	rebuilding  = "rebuild with scripts"
)

// TestREQ09LostSecretsAreNamed is killed at every save, and with the conductor dies who held the secrets. Either the scripts had them
// by then, and the installation ends well, or it fails and names them; nothing is run twice, and asking again with them works.
func TestREQ09LostSecretsAreNamed(t *testing.T) { onEach(t, testLostSecrets) }

func testLostSecrets(t *testing.T) {
	t.Parallel()
	ends, stride := map[metal.State]int{}, 1
	if onPostgres(t) { // which says the same
		stride = 3
	}
	for at := 0; ; at += stride {
		w := newWorld(t)
		w.onDeath = func(string) { w.held.values = nil; w.held.lost = true }
		named(t, withAll).start(w)
		died := w.dieAt(at)
		n, a := w.state()
		ends[n.ProvisionState]++
		switch {
		case n.ProvisionState == metal.Active && n.LastError == "" && w.on:
		case n.ProvisionState == metal.DeployFailed && strings.Contains(n.LastError, "the secret OS parameters root-key ") && strings.Contains(n.LastError, "password") && !w.on && w.counters["agent install"] == 0:
		default:
			t.Errorf("killed at %d: state %q, last_error %q, on %v", at, n.ProvisionState, n.LastError, w.on)
		}
		if w.media != "" || a != nil || w.counters["agent install"] > 1 || w.counters["agent verify"] > 1 {
			t.Errorf("killed at %d: media %q, agent %v, %v", at, w.media, a != nil, w.counters)
		}
		w.silentOf("lost secrets")
		if n.ProvisionState == metal.DeployFailed && at%6 == 0 {
			w.onDeath, w.held = nil, &keeping{values: map[string]string{metal.OSSecretParameter + "root-key": secretCanary, metal.OSCredential + "password": "canary-password-123"}}
			w.node, _ = w.state()
			w.ask(metal.PlanDeploy, metal.EventRebuild, secretAsk)
			w.run(w.conductor("c1", nil))
			if n, _ := w.state(); n.ProvisionState != metal.Active || len(w.held.released) != 1 {
				t.Errorf("asked again after %d: state %q, last_error %q, released %v", at, n.ProvisionState, n.LastError, w.held.released)
			}
		}
		w.close()
		if !died {
			break
		}
	}
	if ends[metal.Active] < 5 || ends[metal.DeployFailed] < 5 {
		t.Errorf("ends: %v", ends)
	}
}

// installFailed checks what every installation that failed leaves.
func (w *world) installFailed(label string, says ...string) {
	w.t.Helper()
	n, a := w.state()
	if n.ProvisionState != metal.DeployFailed || w.on || w.media != "" || a != nil || n.InternalInfo[metal.DeployProgressKey] != nil {
		w.t.Errorf("%s: state %q, on %v, media %q, agent %v, %v", label, n.ProvisionState, w.on, w.media, a != nil, n.InternalInfo)
	}
	for _, part := range says {
		if !strings.Contains(n.LastError, part) {
			w.t.Errorf("%s: last_error %q does not say %q", label, n.LastError, part)
		}
	}
	w.wiredAs(nil, label)
	w.silentOf(label)
}

// TestREQ05WhatVerifySaysIsScrubbed: a definition that repeats values in its complaint tells them to nobody, also without any secret.
func TestREQ05WhatVerifySaysIsScrubbed(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for _, name := range []string{withAll, withScripts} {
			w := osWorld(t, name)
			w.os.verifies = "verify ended with 1: token " + privateCanary + " and license " + defaultCanary
			if name == withAll {
				w.os.verifies += " and key " + secretCanary
			}
			w.run(w.conductor("c1", nil))
			w.installFailed(name, "verify ended with 1: token ****** and license ******")
			if w.counters["step write_image"]+w.counters["agent install"] > 0 {
				t.Errorf("%s: something was written: %v", name, w.counters)
			}
		}
	})
}

// TestREQ11SecretsAreReleasedAtTheEnd: whoever holds them is told, however the installation ends.
func TestREQ11SecretsAreReleasedAtTheEnd(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for name, spoil := range map[string]func(*world){"success": func(*world) {}, "verify": func(w *world) { w.os.verifies = "no" },
			"script": func(w *world) { w.os.fails = "create ended with 3" }, "before the boot": func(w *world) { w.held.lost = true }} {
			w := osWorld(t, withAll)
			spoil(w)
			id := w.live().UUID
			w.run(w.conductor("c1", nil))
			if n, _ := w.state(); (n.ProvisionState == metal.Active) != (name == "success") || !slices.Equal(w.held.released, []string{id}) {
				t.Errorf("%s: state %q (%s), released %v", name, n.ProvisionState, n.LastError, w.held.released)
			}
		}
	})
}

// TestREQ16TrustThatEnds between the request and the command, and files that were replaced, end the installation.
func TestREQ16TrustThatEnds(t *testing.T) {
	onEach(t, func(t *testing.T) {
		for name, change := range map[string]func(*world){"is not trusted any more": (*world).distrust, "were replaced": (*world).replaceFiles} {
			early := osWorld(t, withScripts)
			change(early)
			early.run(early.conductor("c1", nil))
			early.installFailed("before: "+name, name)
			if len(early.counters) != 0 {
				t.Errorf("%s: done to the machine: %v", name, early.counters)
			}
			late := osWorld(t, withAll)
			c := late.conductor("c1", nil)
			did := false
			c.tamper = func(steps []step) {
				for i := range steps {
					if run := steps[i].run; steps[i].name == "write image" {
						steps[i].run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
							if !did {
								did = true
								change(late)
							}
							return run(r, ctx, op)
						}
					}
				}
			}
			late.run(c)
			late.installFailed("after verify: "+name, name)
			if late.counters["agent install"] != 0 {
				t.Errorf("%s: scripts were run", name)
			}
		}
	})
}

func (w *world) distrust() {
	w.write(func(tx *store.Tx) error {
		w.os.definition.TrustedDigest = ""
		return tx.SaveOSDefinition(w.os.definition)
	})
}

func (w *world) replaceFiles() {
	b := osBundle(w.t.Fatal, "other")
	w.write(func(tx *store.Tx) error {
		w.os.definition.Digest, w.os.definition.TrustedDigest = b.Digest(), b.Digest()
		if err := tx.SaveOSDefinition(w.os.definition); err != nil {
			return err
		}
		return tx.SaveOSBundle(w.os.definition, b)
	})
}
