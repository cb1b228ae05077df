package ops

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// osRig is a server whose one node could be installed with OS definitions, if some conductor had what does it.
type osRig struct {
	*testing.T
	s    *Service
	db   *store.DB
	kept *courier.Courier
	node *metal.Node
}

func newOSRig(t *testing.T) *osRig {
	t.Helper()
	s, db := service(t)
	r := &osRig{T: t, s: s, db: db, kept: courier.New(courier.Defaults())}
	s.KeepSecrets(Keeper{Courier: r.kept, Server: "one"})
	r.node = enrolled(t, s, "redfish")
	for name, files := range map[string][]string{"host": nil, "confined": {"untrusted/create"}} {
		tree := fstest.MapFS{"ganeti_api_version": {Data: []byte("20")}, "parameters.list": {Data: []byte("mirror\ntoken\nroot-key\n")}, "variants.list": {Data: []byte("12\n13\n")}}
		for _, script := range append([]string{"create", "export", "import", "rename", "verify"}, files...) {
			tree[script] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
		}
		b, err := osdef.FromFS(tree, osdef.Usual, nil)
		if err != nil {
			t.Fatal(err)
		}
		record := &osdef.Record{Name: name, Defaults: map[string]osdef.Classes{"": {Private: values("token", "canary-default")}, "13": {Public: map[string]string{"mirror": "of-13"}}}}
		if _, err := s.CreateOSDefinition(t.Context(), caller, record, b.Tar()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func values(pairs ...string) map[string]secret.Secret {
	out := map[string]secret.Secret{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = secret.New(pairs[i+1])
	}
	return out
}

// judge is what osInstall says of a request, before and after what was done before.
func (r *osRig) judge(verb metal.Verb, asked *OSInstall, before *store.OSInstall) (out *store.OSInstall, err error) {
	r.Helper()
	err = r.db.Write(r.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		rq := &request{Service: r.s, tx: tx, node: n, by: caller, Provision: Provision{Verb: verb, OS: asked}}
		out, err = rq.osInstall(asked, before)
		return err
	})
	return out, err
}

// after puts the node into the state in which an installation left it.
func (r *osRig) after(state metal.State, install *store.OSInstall) {
	r.Helper()
	err := r.db.Write(r.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState, n.Interfaces["deploy"] = state, metal.DeployOS
		return errors.Join(tx.SaveNode(n), tx.SaveOSInstall(n, install), tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "redfish", Interfaces: map[string][]string{"deploy": {metal.DeployOS}, "power": {"redfish"}}}}))
	})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *osRig) refused(what string, err error, says string) {
	r.Helper()
	if fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.NotFound || err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "canary") {
		r.Errorf("%s: %v, want a refusal with %q", what, err, says)
	}
}

func TestREQ02And31WhatCanBeInstalled(t *testing.T) {
	r := newOSRig(t)
	no, yes := false, true
	for _, c := range []struct {
		what  string
		asked OSInstall
		says  string
	}{
		{"nothing", OSInstall{Mode: "install"}, "nothing to install from"},
		{"no such definition", OSInstall{Definition: "none+12"}, "none"},
		{"REQ-2: no variant", OSInstall{Definition: "confined"}, "one must be chosen"},
		{"REQ-2: another variant", OSInstall{Definition: "confined+14"}, "no variant 14"},
		{"REQ-2: another variant, forced", OSInstall{Definition: "confined+14", Force: true}, ""},
		{"REQ-2: no variant, forced", OSInstall{Definition: "confined", Force: true}, "one must be chosen"},
		{"REQ-16: what needs trust", OSInstall{Definition: "host+12"}, "runs only if the definition is trusted"},
		{"REQ-16: unsafe and untrusted", OSInstall{Definition: "confined+12", Safe: &no}, "not trusted"},
		{"REQ-26: a package of no kind", OSInstall{Definition: "confined+12", Package: "https://p/x.zip"}, ".tar.gz"},
		{"REQ-26: a package with credentials", OSInstall{Definition: "confined+12", Package: "https://u:canary@p/x.tgz"}, "has a user in it"},
		{"REQ-29: a mode of no name", OSInstall{Definition: "confined+12", Mode: "default"}, "run, install and self_install"},
		{"REQ-6: two classes", OSInstall{Definition: "confined+12", Parameters: osdef.Classes{Public: map[string]string{"token": "canary"}}}, "token (public, private)"},
		{"an unknown parameter", OSInstall{Definition: "confined+12", Parameters: osdef.Classes{Secret: values("size", "canary")}}, "no parameters size"},
		{"good", OSInstall{Definition: "confined+12", Safe: &yes, Package: "https://p/x.tar.zst?v=1", Mode: "install"}, ""},
	} {
		out, err := r.judge(metal.VerbActive, &c.asked, nil)
		if c.says != "" {
			r.refused(c.what, err, c.says)
		} else if err != nil || !strings.HasSuffix(c.asked.Definition, "+"+out.Variant) || out.Package != c.asked.Package || !out.Safe {
			t.Errorf("%s: %+v, %v", c.what, out, err)
		}
	}
	if _, err := r.s.UpdateOSDefinition(t.Context(), caller, "confined", func(d *osdef.Record) error { d.Blacklisted = true; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := r.judge(metal.VerbActive, &OSInstall{Definition: "confined+12"}, nil)
	r.refused("blacklisted", err, "blacklisted")
	confined, err := r.s.OSDefinition(t.Context(), "confined")
	if err != nil {
		t.Fatal(err)
	}
	with := func(id int64) *store.OSInstall {
		return &store.OSInstall{DefinitionID: id, Variant: "12", Mode: osdef.ModeInstall, Safe: true}
	}
	for _, asked := range []*OSInstall{{}, {Definition: "confined+12"}, {Definition: "confined+13"}} {
		if _, err := r.judge(metal.VerbRebuild, asked, with(confined.ID)); err != nil {
			t.Errorf("a rebuild of what is installed with a blacklisted one: %+v: %v", asked, err)
		}
	}
	_, err = r.judge(metal.VerbRebuild, &OSInstall{Definition: "confined+12"}, with(confined.ID+1000))
	r.refused("a rebuild with another, which is blacklisted", err, "blacklisted")
	_, err = r.judge(metal.VerbRebuild, &OSInstall{Definition: "confined+12"}, nil)
	r.refused("a rebuild of an image with what is blacklisted", err, "blacklisted")
}

// What means nothing in the execution mode run is refused, each by its name, and not dropped in silence.
func TestREQ29WhatMeansNothingInTheModeRun(t *testing.T) {
	r := newOSRig(t)
	yes := true
	for _, c := range []struct {
		asked OSInstall
		says  string
	}{
		{OSInstall{Definition: "confined+12"}, "leave away os_definition, or"},
		{OSInstall{Force: true}, "leave away force_variant, or"},
		{OSInstall{Parameters: osdef.Classes{Secret: values("root-key", "canary")}}, "leave away OS parameters, or"},
		{OSInstall{Unset: []string{"mirror"}}, "leave away OS parameters, or"},
		{OSInstall{Safe: &yes}, "leave away safe_install, or"},
		{OSInstall{Package: "https://p/x.tgz"}, "leave away personalization_url, or"},
		{OSInstall{NoPackage: true}, "leave away personalization_url, or"},
		{OSInstall{Safe: &yes, Credentials: values("user", "u", "password", "canary")}, "leave away safe_install, personalization_user and personalization_password, or"},
		{OSInstall{}, ""},
	} {
		c.asked.Mode = osdef.ModeRun
		err := r.s.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err != nil {
				return err
			}
			return (&request{Service: r.s, tx: tx, node: n, by: caller, Provision: Provision{Verb: metal.VerbRebuild, OS: &c.asked}}).checkOS()
		})
		if c.says != "" {
			r.refused(c.says, err, c.says)
		} else if err != nil {
			t.Errorf("the mode alone: %v", err)
		}
	}
}

// A rebuild takes the package of the last deployment, another, or none.
func TestREQ26ARebuildTakesThePackageAway(t *testing.T) {
	r := newOSRig(t)
	first, err := r.judge(metal.VerbActive, &OSInstall{Definition: "confined+12", Package: "https://p/x.tgz"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		asked OSInstall
		want  string
	}{{OSInstall{}, "https://p/x.tgz"}, {OSInstall{Package: "https://p/y.tgz"}, "https://p/y.tgz"}, {OSInstall{NoPackage: true}, ""}} {
		if out, err := r.judge(metal.VerbRebuild, &c.asked, first); err != nil || out.Package != c.want || out.DefinitionID != first.DefinitionID {
			t.Errorf("%+v: %+v, %v", c.asked, out, err)
		}
	}
	_, err = r.judge(metal.VerbRebuild, &OSInstall{NoPackage: true, Credentials: values("user", "u", "password", "canary")}, first)
	r.refused("credentials for no package", err, "are for a personalization package, and there is none")
}

func TestREQ16WhatIsTrustedMayBeUnsafe(t *testing.T) {
	r := newOSRig(t)
	d, err := r.s.OSDefinition(t.Context(), "host")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.TrustOSDefinition(t.Context(), caller, "host", d.Digest); err != nil {
		t.Fatal(err)
	}
	no := false
	if out, err := r.judge(metal.VerbActive, &OSInstall{Definition: "host+12", Safe: &no}, nil); err != nil || out.Safe || out.Digest != d.Digest {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestREQ10RebuildsKeepValuesAndWantSecretsAgain(t *testing.T) {
	r := newOSRig(t)
	first, err := r.judge(metal.VerbActive, &OSInstall{Definition: "confined+13", Parameters: osdef.Classes{Public: map[string]string{"mirror": "mine"}, Private: values("token", "canary-mine"), Secret: values("root-key", "canary-secret")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first.Secrets, []string{"root-key"}) || first.Parameters.Public["mirror"] != "mine" || !first.Parameters.Private["token"].Equal("canary-mine") || len(first.Parameters.Secret) != 0 {
		t.Errorf("kept: %+v", first)
	}
	_, err = r.judge(metal.VerbRebuild, &OSInstall{}, first)
	r.refused("a rebuild without the secret", err, "root-key again")
	last := first
	for range 2 { // upstream erases what was stored with the first plain one
		if last, err = r.judge(metal.VerbRebuild, &OSInstall{Parameters: osdef.Classes{Secret: values("root-key", "canary-again")}}, last); err != nil {
			t.Fatal(err)
		}
		if last.Variant != "13" || last.Parameters.Public["mirror"] != "mine" || !last.Parameters.Private["token"].Equal("canary-mine") || !slices.Equal(last.Secrets, first.Secrets) {
			t.Errorf("kept by a rebuild: %+v", last)
		}
	}
	if last, err = r.judge(metal.VerbRebuild, &OSInstall{Unset: []string{"mirror", "root-key"}}, last); err != nil || len(last.Parameters.Public) != 0 || len(last.Secrets) != 0 {
		t.Errorf("taken away: %+v, %v", last, err)
	}
	d, err := r.s.OSDefinition(t.Context(), "host")
	if err == nil {
		_, err = r.s.TrustOSDefinition(t.Context(), caller, "host", d.Digest)
	}
	if err != nil {
		t.Fatal(err)
	}
	if other, err := r.judge(metal.VerbRebuild, &OSInstall{Definition: "host+12"}, first); err != nil || len(other.Parameters.Public)+len(other.Parameters.Private)+len(other.Secrets) != 0 {
		t.Errorf("with another definition: %+v, %v", other, err)
	}
}

// A node that is deployed by another interface is refused, and nothing of the request is kept.
func TestREQ31OtherInterfacesInstallNothing(t *testing.T) {
	r := newOSRig(t)
	force(t, r.db, r.node.UUID, metal.Available)
	ask := Provision{Verb: metal.VerbActive, OS: &OSInstall{Definition: "confined+12", Parameters: osdef.Classes{Secret: values("root-key", "canary")}}}
	err := r.s.SetProvision(t.Context(), caller, r.node.UUID, ask)
	wantKind(t, err, fault.Invalid)
	if !strings.Contains(err.Error(), "deploy interface direct") || !strings.Contains(err.Error(), "deploy_interface to os-install") {
		t.Errorf("it says %v", err)
	}
	if left := r.kept.Operations(); len(left) != 0 {
		t.Errorf("secrets are kept for a refused request: %v", left)
	}
	err = r.db.Read(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		if kept, err := tx.OSInstall(n); kept != nil || err != nil || n.ProvisionState != metal.Available {
			t.Errorf("kept %+v, %v, in %s", kept, err, n.ProvisionState)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// With such an interface the values go to the courier, and everything else to the node's row, with the operation.
func TestREQ07SecretsGoToTheCourierAlone(t *testing.T) {
	r := newOSRig(t)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState, n.Interfaces["deploy"] = metal.Available, metal.DeployOS
		return tx.SaveNode(n)
	})
	if err == nil {
		err = r.db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "redfish", Interfaces: map[string][]string{"deploy": {metal.DeployOS}, "power": {"redfish"}}}})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	ask := Provision{Verb: metal.VerbActive, OS: &OSInstall{Definition: "confined+12", Package: "https://p/x.tgz", Credentials: values("user", "u", "password", "canary-password"),
		Parameters: osdef.Classes{Private: values("token", "canary-private"), Secret: values("root-key", "canary-secret")}}}
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, ask); err != nil {
		t.Fatal(err)
	}
	err = r.db.Read(t.Context(), func(tx *store.Tx) error {
		live, err := tx.LiveOperation(r.node.ID)
		if err != nil {
			return err
		}
		if strings.Contains(string(live.Record), "canary") {
			t.Errorf("the operation's record has a value: %s", live.Record)
		}
		if !strings.Contains(string(live.Record), `"os_parameters_secret/root-key","personalization/password","personalization/user"`) {
			t.Errorf("the record does not say what the courier has: %s", live.Record)
		}
		kept, err := tx.OSInstall(r.node)
		if err != nil || kept == nil || kept.Package != "https://p/x.tgz" || !kept.Parameters.Private["token"].Equal("canary-private") || !slices.Equal(kept.Secrets, []string{"root-key"}) {
			t.Errorf("kept of the node: %+v, %v", kept, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.kept.Operations()) != 1 {
		t.Error("the courier has nothing")
	}
	wantKind(t, r.s.DeleteOSDefinition(t.Context(), caller, "confined"), fault.Conflict)
}

// A tear down takes the place of an installation that waits for its machine: the values of that one are released.
func TestREQ11ATearDownReleasesSecrets(t *testing.T) {
	r := newOSRig(t)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState, n.Interfaces["deploy"] = metal.Available, metal.DeployOS
		return errors.Join(tx.SaveNode(n), tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "redfish", Interfaces: map[string][]string{"deploy": {metal.DeployOS}, "power": {"redfish"}}}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := Provision{Verb: metal.VerbActive, OS: &OSInstall{Definition: "confined+12", Parameters: osdef.Classes{Secret: values("root-key", "canary-secret")}}}
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, ask); err != nil {
		t.Fatal(err)
	}
	r.s.releaseEnded(t.Context())
	if len(r.kept.Operations()) != 1 {
		t.Fatal("the values of an installation that lives are gone")
	}
	force(t, r.db, r.node.UUID, metal.DeployWait)
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbDeleted}); err != nil {
		t.Fatal(err)
	}
	r.s.releaseEnded(t.Context())
	if left := r.kept.Operations(); len(left) != 0 {
		t.Errorf("torn down, and kept: %v", left)
	}
}

// A rebuild that lacks a secret is refused before anything of the node changes, and names it; with it the values of the last time are used.
func TestREQ10RefusedBeforeAnythingIsSwitched(t *testing.T) {
	r := newOSRig(t)
	first, err := r.judge(metal.VerbActive, &OSInstall{Definition: "confined+12", Parameters: osdef.Classes{Private: values("token", "canary-mine"), Secret: values("root-key", "canary-secret")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.after(metal.Active, first)
	r.refused("without the secret", r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbRebuild}), "the secret OS parameters root-key again")
	state := func() (st metal.State, live *store.Operation) {
		err := r.db.Read(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err == nil {
				st = n.ProvisionState
				live, err = tx.LiveOperation(n.ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return st, live
	}
	if st, live := state(); st != metal.Active || live != nil {
		t.Errorf("refused, and in %s with %v", st, live)
	}
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbRebuild, OS: &OSInstall{Parameters: osdef.Classes{Secret: values("root-key", "canary-again")}}}); err != nil {
		t.Fatal(err)
	}
	if st, live := state(); st != metal.Deploying || live == nil {
		t.Errorf("in %s with %v", st, live)
	}
}

// A deployment that failed is tried again by Ironic's clients with the verb active and nothing else. It is not to become another one.
func TestREQ10ARetryInstallsWhatFailed(t *testing.T) {
	r := newOSRig(t)
	first, err := r.judge(metal.VerbActive, &OSInstall{Definition: "confined+14", Force: true, Package: "https://p/x.tgz",
		Parameters: osdef.Classes{Private: values("token", "canary-mine"), Secret: values("root-key", "canary-secret")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.after(metal.DeployFailed, first)
	kept := func() (i *store.OSInstall, n *metal.Node) {
		err := r.db.Read(t.Context(), func(tx *store.Tx) (err error) {
			if n, err = tx.Node(r.node.UUID); err == nil {
				i, err = tx.OSInstall(n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return i, n
	}
	r.refused("without the secret", r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbActive}), "the secret OS parameters root-key again")
	if i, n := kept(); i == nil || n.ProvisionState != metal.DeployFailed {
		t.Errorf("refused, and in %s with %+v", n.ProvisionState, i)
	}
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbActive, OS: &OSInstall{Parameters: osdef.Classes{Secret: values("root-key", "canary-again")}}}); err != nil {
		t.Fatal(err)
	}
	i, n := kept()
	if n.ProvisionState != metal.Deploying || i.DefinitionID != first.DefinitionID || i.Variant != "14" || i.Package != first.Package || !i.Parameters.Private["token"].Equal("canary-mine") {
		t.Errorf("in %s with %+v", n.ProvisionState, i)
	}
}

// The user and password of a package are kept nowhere, as secret parameters are: a rebuild that fetches it again needs them again.
func TestREQ26RebuildsWantTheLoginOfAPackageAgain(t *testing.T) {
	r := newOSRig(t)
	login := func() *OSInstall { return &OSInstall{Credentials: values("user", "u", "password", "canary-package")} }
	asked := login()
	asked.Definition, asked.Package = "confined+12", "https://p/x.tgz"
	first, err := r.judge(metal.VerbActive, asked, nil)
	if err != nil || !first.PackageLogin {
		t.Fatalf("%+v, %v", first, err)
	}
	_, err = r.judge(metal.VerbRebuild, &OSInstall{}, first)
	r.refused("without", err, "the user and password of the personalization package again")
	for what, c := range map[string]struct {
		asked *OSInstall
		login bool
	}{"with them": {login(), true}, "without the package": {&OSInstall{NoPackage: true}, false}, "with another": {&OSInstall{Package: "https://p/open.tgz"}, false}} {
		if got, err := r.judge(metal.VerbRebuild, c.asked, first); err != nil || got.PackageLogin != c.login {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}
