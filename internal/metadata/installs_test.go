package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// keepers are the servers that have secret values in memory. One can be away, or be another process by now.
type keepers struct {
	mu   sync.Mutex
	have *courier.Courier // guarded by mu
	away bool             // guarded by mu
}

func newKeepers() *keepers { return &keepers{have: courier.New(courier.Defaults())} }

func (k *keepers) StepSecret(_ context.Context, ref *metal.SecretRef, operation, name string) (secret.Secret, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return secret.Secret{}, fault.New(fault.Unavailable, "Nobody answers.")
	}
	got, err := k.have.Fetch(ref.Handle, operation, []string{name})
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Conflict, err, "Give them again.")
	}
	return got[name], nil
}

func (k *keepers) leave(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

// die loses all values.
func (k *keepers) die() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have = courier.New(courier.Defaults())
}

// definition adds an OS definition with a private default of its own.
func (w *world) definition() *osdef.Record {
	w.t.Helper()
	tree := fstest.MapFS{"ganeti_api_version": {Data: []byte("20")}, "parameters.list": {Data: []byte("mirror\ntoken\nroot-key\nsize\n")}, "variants.list": {Data: []byte("12\n")}, "common.sh": {Data: []byte("# shared\n")}}
	for _, script := range []string{"create", "export", "import", "rename", "verify", "untrusted/create"} {
		tree[script] = &fstest.MapFile{Data: []byte("#!/bin/sh\n# " + script + "\n"), Mode: 0o755}
	}
	b, err := osdef.FromFS(tree, osdef.Usual, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := b.Definition()
	if err != nil {
		w.t.Fatal(err)
	}
	r := &osdef.Record{UUID: "00000000-0000-4000-a000-000000000001", Name: "debian", Digest: b.Digest(), Definition: *d,
		Defaults: map[string]osdef.Classes{"": {Public: map[string]string{"size": "small"}, Private: map[string]secret.Secret{"token": secret.New("PRIV-default-canary")}}}}
	w.write(func(tx *store.Tx) error { return tx.CreateOSDefinition(r, b) })
	return r
}

// selfInstall has a node install itself: its operation lives, the instance is rendered, and its machine is booted from a medium.
func (w *world) selfInstall(n *metal.Node, d *osdef.Record, at string) *store.Operation {
	w.t.Helper()
	n.ProvisionState = metal.DeployWait
	w.state(n, metal.DeployWait)
	op := &store.Operation{UUID: fmt.Sprintf("00000000-0000-4000-b000-%012d", n.ID), NodeID: n.ID, Exclusive: true, Verb: "active", Plan: string(metal.PlanDeploy), Driver: "fake",
		WaitingFor: metal.WaitOSInstall, DueAt: time.Now().Add(time.Hour)}
	values := map[string]secret.Secret{"os_parameters_secret/root-key": secret.New("SECR-canary of " + n.Name), "personalization/user": secret.New("u"), "personalization/password": secret.New("PASS-canary of " + n.Name)}
	handle, err := w.secrets.have.Keep(op.UUID, values)
	if err != nil {
		w.t.Fatal(err)
	}
	op.Record, err = json.Marshal(map[string]any{"ask": metal.Ask{Secrets: &metal.SecretRef{Handle: handle, Server: "one", Names: slices.Sorted(maps.Keys(values))}}, "more": 1})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(func(tx *store.Tx) error { return tx.CreateOperation(op) })
	instance := w.rendered(n, n.Name, "p1")
	instance.Deploy = op.UUID
	w.save(n, instance, at)
	w.write(func(tx *store.Tx) error {
		kept := &store.OSInstall{DefinitionID: d.ID, Variant: "12", Digest: d.Digest, Mode: osdef.ModeSelfInstall, Safe: true, Package: "https://p.example.org/" + n.Name + ".tgz", Secrets: []string{"root-key"},
			Parameters: osdef.Classes{Public: map[string]string{"mirror": "http://mirror of " + n.Name}, Private: map[string]secret.Secret{"token": secret.New("PRIV-canary of " + n.Name)}}}
		if err := tx.SaveOSInstall(n, kept); err != nil {
			return err
		}
		return tx.OpenOSChannel(n, op.UUID)
	})
	return op
}

// over ends a node's installation as the conductor does, and its instance runs.
func (w *world) over(n *metal.Node, op *store.Operation) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		if err := tx.CloseOSChannel(n.ID); err != nil {
			return err
		}
		op.Status, op.WaitingFor = store.Done, ""
		return tx.SaveOperation(op)
	})
	w.state(n, metal.Active)
}

func (w *world) channel(n *metal.Node) (c *store.OSChannel) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		c, err = tx.OSChannel(n)
		return err
	})
	if err != nil || c == nil {
		w.t.Fatalf("%+v, %v", c, err)
	}
	return c
}

// woken tells whether the operation is due, and has it wait again.
func (w *world) woken(op *store.Operation) (is bool) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		o, err := tx.Operation(op.UUID)
		if err != nil {
			return err
		}
		is = !o.DueAt.After(now)
		o.DueAt = now.Add(time.Hour)
		return tx.SaveOperation(o)
	})
	return is
}

// base is where the channel's paths begin.
const base = "/ganeti/latest/"

func (w *world) parameters(from string) map[string][2]string {
	w.t.Helper()
	var out map[string][2]string
	if err := json.Unmarshal([]byte(w.get(from, base+"os/parameters.json", 200).body), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// nothing looks that whoever asks from an address is given nothing of anybody.
func (w *world) nothing(what, from string, headers ...string) {
	w.t.Helper()
	for _, path := range []string{"meta_data.json", "os/parameters.json", "os/parameters/mirror", "os/parameters/root-key", "os/scripts/create", "os/package", "read"} {
		if r := w.ask(from, "GET", base+path, "", headers...); r.status != http.StatusNotFound && r.status != http.StatusForbidden || strings.Contains(r.body, "canary") {
			w.t.Errorf("%s: GET %s: %d %s", what, path, r.status, r.body)
		}
	}
	if r := w.ask(from, "POST", base+"write", "x", headers...); r.status != http.StatusNotFound && r.status != http.StatusForbidden {
		w.t.Errorf("%s: write: %d", what, r.status)
	}
}

func TestREQ20AMachineThatInstallsItselfReadsItsOwn(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		one, two, installed, idle := w.node(), w.node(), w.node(), w.node()
		op := w.selfInstall(one, d, "127.0.0.11")
		w.selfInstall(two, d, "127.0.0.12")
		w.deploy(installed, "installed", "p1", "127.0.0.13")
		w.deploy(idle, "idle", "p1", "127.0.0.14")
		w.state(idle, metal.DeployWait)
		for from, n := range map[string]*metal.Node{"127.0.0.11": one, "127.0.0.12": two} {
			want := map[string][2]string{"mirror": {"http://mirror of " + n.Name, "public"}, "size": {"small", "public"}, "token": {"PRIV-canary of " + n.Name, "private"}, "root-key": {"SECR-canary of " + n.Name, "secret"}}
			if got := w.parameters(from); !reflect.DeepEqual(got, want) {
				t.Errorf("%s reads %v", n.Name, got)
			}
			for path, says := range map[string]string{"os/parameters/token": "PRIV-canary of " + n.Name, "os/parameters/root-key": "SECR-canary of " + n.Name, "os/package": "https://p.example.org/" + n.Name + ".tgz",
				"os/package/user": "u", "os/package/password": "PASS-canary of " + n.Name, "os/scripts/untrusted/create": "#!/bin/sh\n# untrusted/create\n"} {
				if got := w.get(from, "/ganeti/2015-10-01/"+path, 200).body; got != says {
					t.Errorf("%s reads %s: %q", n.Name, path, got)
				}
			}
			if meta := w.get(from, base+"meta_data.json", 200).body; !strings.Contains(meta, n.UUID) {
				t.Errorf("%s reads %s", n.Name, meta)
			}
			w.get(from, base+"os/parameters/other", 404)
			w.get(from, base+"os/scripts/common.sh", 404)
			w.get(from, base+"os/scripts/..%2fcreate", 404)
			w.get(from, "/latest/meta-data/hostname", 404) // its instance does not run
			if r := w.ask(from, "POST", base+"read", ""); r.status != http.StatusMethodNotAllowed || r.head.Get("Allow") != "GET" {
				t.Errorf("%d, Allow %q", r.status, r.head.Get("Allow"))
			}
		}
		w.nothing("a stranger", "127.0.0.77")
		w.nothing("one that says whose it is", "127.0.0.77", "X-Forwarded-For: 127.0.0.11", "X-Instance-ID: "+one.UUID, "X-Tenant-ID: p1")
		w.nothing("a machine in another's ramdisk", "127.0.0.14")
		w.get("127.0.0.13", base+"os/parameters.json", 404) // an image alone
		w.get("127.0.0.13", base+"meta_data.json", 200)

		w.over(one, op)
		if got := w.parameters("127.0.0.11"); !reflect.DeepEqual(got, map[string][2]string{"mirror": {"http://mirror of node1", "public"}, "size": {"small", "public"}}) {
			t.Errorf("afterwards it reads %v", got)
		}
		for _, path := range []string{"os/parameters/token", "os/parameters/root-key", "os/scripts/create", "os/package/password", "read"} {
			if r := w.get("127.0.0.11", base+path, 410); strings.Contains(r.body, "canary") {
				t.Errorf("%s: %s", path, r.body)
			}
		}
		w.get("127.0.0.11", base+"os/parameters/mirror", 200)
		w.state(one, metal.Deleting)
		w.nothing("one that is torn down", "127.0.0.11")
		if strings.Contains(w.log.String(), "canary") {
			t.Error("the log has a value")
		}
	})
}

func TestREQ20SignedRequestsAreOfTheirOwn(t *testing.T) {
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret = true, secret.New("between us")
	onSQLite(t, c, func(w *world) {
		d := w.definition()
		one, two := w.node(), w.node()
		w.selfInstall(one, d, "127.0.0.11")
		w.selfInstall(two, d, "127.0.0.12")
		id, tenant, signature := "X-Instance-ID: ", "X-Tenant-ID: ", "X-Instance-ID-Signature: "
		if got := w.get("127.0.0.12", base+"os/parameters/root-key", 200, id+one.UUID, tenant+"p1", signature+sign("between us", one.UUID)).body; got != "SECR-canary of node1" {
			t.Errorf("it reads %q", got)
		}
		w.nothing("another's signature", "127.0.0.11", id+one.UUID, tenant+"p1", signature+sign("between us", two.UUID))
		w.nothing("another tenant", "127.0.0.11", id+one.UUID, tenant+"p2", signature+sign("between us", one.UUID))
		w.nothing("another key", "127.0.0.11", id+one.UUID, tenant+"p1", signature+sign("guessed", one.UUID))
	})
}

func TestREQ23AnAddressThatChangesHands(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		one, two := w.node(), w.node()
		w.selfInstall(one, d, "127.0.0.11")
		w.selfInstall(two, d, "127.0.0.12")
		w.lease("127.0.0.13", macOf(1))
		if got := w.get("127.0.0.13", base+"os/parameters/root-key", 200).body; got != "SECR-canary of node1" {
			t.Errorf("it reads %q", got)
		}
		w.write(func(tx *store.Tx) error { // the lease ran out, and another machine has the address
			now, err := tx.Now()
			if err == nil {
				err = tx.HoldLease(store.Lease{Network: "tenants", Address: at("127.0.0.13"), MAC: macOf(2), Until: now.Add(time.Hour)}, now.Add(2*time.Hour))
			}
			return err
		})
		if got := w.get("127.0.0.13", base+"os/parameters/root-key", 200).body; got != "SECR-canary of node2" {
			t.Errorf("behind the change it reads %q", got)
		}
		w.write(func(tx *store.Tx) error { return tx.DropInstance(two.ID) })
		w.nothing("an address of a node without an instance", "127.0.0.13")
	})
}

func TestREQ23WhatAFormerDeploymentLeftIsNobodys(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		d := w.definition()
		n := w.node()
		op := w.selfInstall(n, d, "127.0.0.11")
		w.get("127.0.0.11", base+"os/parameters/root-key", 200)
		w.write(func(tx *store.Tx) error { // it died without an end: the operation is over, and the channel is still there
			op.Status = store.Failed
			return tx.SaveOperation(op)
		})
		w.nothing("a channel whose operation is over", "127.0.0.11")
		next := &store.Operation{UUID: "00000000-0000-4000-b000-00000000ffff", NodeID: n.ID, Exclusive: true, Verb: "active", Plan: string(metal.PlanDeploy), Driver: "fake"}
		w.write(func(tx *store.Tx) error { return tx.CreateOperation(next) })
		w.nothing("the next operation", "127.0.0.11")
		w.write(func(tx *store.Tx) error { return tx.OpenOSChannel(n, next.UUID) })
		w.nothing("an instance of the former one", "127.0.0.11")
	})
}

func TestREQ23SecretsThatAreLostEndItCleanly(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		n := w.node()
		op := w.selfInstall(n, d, "127.0.0.11")
		if c := w.channel(n); !c.SeenAt.IsZero() {
			t.Errorf("it was seen at %s", c.SeenAt)
		}
		w.get("127.0.0.11", base+"os/parameters/mirror", 200)
		if c := w.channel(n); c.SeenAt.IsZero() || !w.woken(op) {
			t.Error("nobody heard of its first request")
		}

		w.secrets.leave(true) // the server that has them does not answer
		if r := w.get("127.0.0.11", base+"os/parameters/root-key", 503); r.head.Get("Retry-After") == "" {
			t.Error("it is not told to ask again")
		}
		w.get("127.0.0.11", base+"os/parameters.json", 503)
		if c := w.channel(n); len(c.Lost) != 0 || w.woken(op) {
			t.Errorf("lost already: %v", c.Lost)
		}
		w.secrets.leave(false)
		w.get("127.0.0.11", base+"os/parameters/root-key", 200)

		w.secrets.die()
		again, _ := w.serve(Defaults(), nil, nil, slog.New(slog.DiscardHandler)) // and this service was started anew
		for path, says := range map[string]string{"os/parameters/mirror": "http://mirror of node1", "os/parameters/token": "PRIV-canary of node1"} {
			if r := w.askAt(again, "127.0.0.11", "GET", base+path, ""); r.status != 200 || r.body != says {
				t.Errorf("%s: %d %q", path, r.status, r.body)
			}
		}
		if w.woken(op) {
			t.Error("woken for what was there")
		}
		for _, path := range []string{"os/parameters/root-key", "os/parameters.json"} {
			if r := w.askAt(again, "127.0.0.11", "GET", base+path, ""); r.status != 410 || !strings.Contains(r.body, "the secret OS parameters root-key ") && !strings.Contains(r.body, "The secret OS parameters root-key ") {
				t.Errorf("%s: %d %q", path, r.status, r.body)
			}
		}
		if c := w.channel(n); !slices.Equal(c.Lost, []string{"root-key"}) || !w.woken(op) {
			t.Errorf("lost: %v", c.Lost)
		}
		if r := w.askAt(again, "127.0.0.11", "GET", base+"os/package/password", ""); r.status != 410 {
			t.Errorf("the password of the package: %d", r.status)
		}
	})
}

func TestREQ22ScriptsOfAnotherDigestAreGone(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		d := w.definition()
		n := w.node()
		w.selfInstall(n, d, "127.0.0.11")
		w.get("127.0.0.11", base+"os/scripts/create", 200)
		tree := fstest.MapFS{"ganeti_api_version": {Data: []byte("10")}}
		for _, script := range []string{"create", "export", "import", "rename"} {
			tree[script] = &fstest.MapFile{Data: []byte("#!/bin/sh\n# others\n"), Mode: 0o755}
		}
		b, err := osdef.FromFS(tree, osdef.Usual, nil)
		if err != nil {
			t.Fatal(err)
		}
		def, err := b.Definition()
		if err != nil {
			t.Fatal(err)
		}
		d.Definition, d.Digest = *def, b.Digest()
		w.write(func(tx *store.Tx) error { return errors.Join(tx.SaveOSDefinition(d), tx.SaveOSBundle(d, b)) })
		if r := w.get("127.0.0.11", base+"os/scripts/create", 410); r.status != 410 || strings.Contains(r.body, "others") {
			t.Errorf("it reads files that were not judged for it; log: %s", w.log)
		}
	})
}

// An installer such as cloud-init's reads the other trees first, where its machine counts as running what is its user's.
func TestREQ24AnyPageIsAFirstSign(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		n := w.node()
		op := w.selfInstall(n, w.definition(), "127.0.0.11")
		w.get("127.0.0.11", "/openstack/latest/meta_data.json", 404)
		if c := w.channel(n); !c.SeenAt.IsZero() {
			t.Error("a machine that is not served was heard")
		}
		w.write(func(tx *store.Tx) error {
			op.StepName = metal.InstanceSteps(metal.PlanDeploy)[0]
			return tx.SaveOperation(op)
		})
		w.get("127.0.0.11", "/openstack/latest/meta_data.json", 200)
		if c := w.channel(n); c.SeenAt.IsZero() || !w.woken(op) {
			t.Error("nobody heard of its first request")
		}
		if w.get("127.0.0.11", "/latest/meta-data/hostname", 200); w.woken(op) {
			t.Error("each request wakes the operation")
		}
		w.get("127.0.0.11", base+"os/parameters/root-key", 200) // and the channel is open
	})
}

// TestREQ11AFailedInstallationIsOverAtOnce: from when it is undone on there is nothing secret, though the machine is still on; it can hear
// that it is cancelled.
func TestREQ11AFailedInstallationIsOverAtOnce(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		n := w.node()
		op := w.selfInstall(n, w.definition(), "127.0.0.11")
		w.get("127.0.0.11", base+"os/parameters/root-key", 200)
		w.write(func(tx *store.Tx) error {
			op.Undoing = true
			return errors.Join(tx.SaveOperation(op), tx.PutOSMessage(n, op.UUID, store.ToMachine, []byte(`{"control":"cancel"}`), nil))
		})
		for _, path := range []string{"os/parameters/root-key", "os/parameters/token", "os/scripts/create", "os/package/password"} {
			w.get("127.0.0.11", base+path, 410)
		}
		if got := w.parameters("127.0.0.11"); got["mirror"][1] != "public" || len(got) != 2 {
			t.Errorf("it reads %v", got)
		}
		if r := w.ask("127.0.0.11", "POST", base+"write", `{"final":true}`); r.status != 410 {
			t.Errorf("its last word is taken: %d", r.status)
		}
		if got := w.get("127.0.0.11", base+"read", 200).body; got != `{"control":"cancel"}` {
			t.Errorf("it hears %q", got)
		}
		w.get("127.0.0.11", base+"read", 204)
	})
}

// TestREQ11NothingSecretBehindTheLastWord: a machine that has said that it ended may stay on for long.
func TestREQ11NothingSecretBehindTheLastWord(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		n := w.node()
		w.selfInstall(n, w.definition(), "127.0.0.11")
		w.get("127.0.0.11", base+"os/parameters/root-key", 200)
		for range 2 { // whose answer may be lost
			if r := w.ask("127.0.0.11", "POST", base+"write", `{"final":true}`); r.status != 200 {
				t.Errorf("its last word: %d %s", r.status, r.body)
			}
		}
		for _, path := range []string{"os/parameters/root-key", "os/parameters/token", "os/scripts/create", "os/package/user", "os/package/password"} {
			w.get("127.0.0.11", base+path, 410)
		}
		if got := w.parameters("127.0.0.11"); got["mirror"][1] != "public" || len(got) != 2 {
			t.Errorf("it reads %v", got)
		}
		if r := w.ask("127.0.0.11", "POST", base+"write", `{"final":true,"code":1}`); r.status != 410 {
			t.Errorf("another last word: %d", r.status)
		}
	})
}
