package ops

import (
	"net/netip"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// judgeService is what checkService says of steps on the node, which is active, and what the operation would be told.
func (r *osRig) judgeService(p Provision) (ask metal.Ask, err error) {
	r.Helper()
	p.Verb = metal.VerbService
	err = r.db.Write(r.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		rq := &request{Service: r.s, tx: tx, node: n, by: caller, Provision: p}
		err = rq.checkService()
		ask = rq.ask
		return err
	})
	return ask, err
}

// installed makes the node one that runs what a definition installed.
func (r *osRig) installed(definition string, trust bool) {
	r.Helper()
	d, err := r.s.OSDefinition(r.Context(), definition)
	if err == nil && trust {
		_, err = r.s.TrustOSDefinition(r.Context(), caller, definition, d.Digest)
	}
	if err == nil {
		err = r.db.Write(r.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err != nil {
				return err
			}
			n.ProvisionState, n.Interfaces["deploy"] = metal.Active, metal.DeployOS
			if err := tx.SaveNode(n); err != nil {
				return err
			}
			return tx.SaveOSInstall(n, &store.OSInstall{DefinitionID: d.ID, Variant: "12", Digest: d.Digest, Mode: osdef.ModeInstall, Safe: true,
				Parameters: osdef.Classes{Private: values("token", "canary-kept")}, Secrets: []string{"root-key"}})
		})
	}
	if err != nil {
		r.Fatal(err)
	}
}

func osStep(name string, args map[string]any) []metal.Step {
	return []metal.Step{{Interface: "deploy", Step: name, Args: args}}
}

func TestServiceStepsOfOSDefinitions(t *testing.T) {
	r := newOSRig(t)
	to := map[string]any{"url": "https://backup.example.org/n1"}
	_, err := r.judgeService(Provision{ServiceSteps: osStep(metal.StepOSExport, to)})
	r.refused("with another deploy interface", err, "the deploy interface direct")
	_, err = r.judgeService(Provision{ServiceSteps: []metal.Step{{Interface: "bios", Step: "apply"}}, OS: &OSInstall{Parameters: osdef.Classes{Public: map[string]string{"mirror": "m"}}}})
	r.refused("parameters for other steps", err, "go with the service steps deploy.os_export")
	if err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState, n.Interfaces["deploy"] = metal.Active, metal.DeployOS
		return tx.SaveNode(n)
	}); err != nil {
		t.Fatal(err)
	}
	_, err = r.judgeService(Provision{ServiceSteps: osStep(metal.StepOSExport, to)})
	r.refused("without an installation", err, "not installed with an OS definition")
	r.installed("host", false)
	_, err = r.judgeService(Provision{ServiceSteps: osStep(metal.StepOSExport, to)})
	r.refused("a script that needs trust", err, "export of the OS definition runs only if the definition is trusted")
	_, err = r.judgeService(Provision{ServiceSteps: osStep(metal.StepOSRename, map[string]any{"name": "web2"})})
	r.refused("a rename that needs trust", err, "rename of the OS definition runs only if the definition is trusted")
	r.installed("host", true)
	r.s.config.Images.Refused = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	twice := append(osStep(metal.StepOSRename, map[string]any{"name": "web2"}), osStep(metal.StepOSRename, map[string]any{"name": "web3"})...)
	for _, c := range []struct {
		what string
		p    Provision
		says string
	}{
		{"no URL", Provision{ServiceSteps: osStep(metal.StepOSExport, nil)}, "not an http or https URL"},
		{"another scheme", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "ftp://h/x"})}, "not an http or https URL"},
		{"a user in the URL", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "https://u:canary@h/x"})}, "has a user in it"},
		{"a query", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "https://h/x?token=canary"})}, "no query"},
		{"a refused network", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "http://192.0.2.7/x"})}, "in a network that nothing is fetched from"},
		{"a password that would be stored", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "https://h/x", "password": "canary"})}, `{"secret": "NAME"}`},
		{"another argument", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "https://h/x", "to": "canary"})}, "does not take the argument"},
		{"replace, perhaps", Provision{ServiceSteps: osStep(metal.StepOSExport, map[string]any{"url": "https://h/x", "replace": "yes"})}, "true or false"},
		{"no name", Provision{ServiceSteps: osStep(metal.StepOSRename, nil)}, "cannot be the name of an instance"},
		{"a name that is none", Provision{ServiceSteps: osStep(metal.StepOSRename, map[string]any{"name": "web_2"})}, "cannot be the name of an instance"},
		{"two names", Provision{ServiceSteps: twice}, "there twice"},
		{"without the ramdisk", Provision{ServiceSteps: osStep(metal.StepOSExport, to), NoRamdisk: true}, "disable_ramdisk"},
		{"REQ-6: a private parameter as a public one", Provision{ServiceSteps: osStep(metal.StepOSExport, to), OS: &OSInstall{Parameters: osdef.Classes{Public: map[string]string{"token": "canary"}}}}, "token (public, private)"},
		{"an unknown parameter", Provision{ServiceSteps: osStep(metal.StepOSExport, to), OS: &OSInstall{Parameters: osdef.Classes{Secret: values("size", "canary")}}}, "no parameters size"},
	} {
		_, err := r.judgeService(c.p)
		r.refused(c.what, err, c.says)
	}
	ask, err := r.judgeService(Provision{ServiceSteps: osStep(metal.StepOSExport, to), OS: &OSInstall{Parameters: osdef.Classes{Public: map[string]string{"mirror": "m"}}}})
	if err != nil || ask.OSParameters["mirror"] != "m" || len(ask.Steps) != 1 {
		t.Errorf("what is right: %+v, %v", ask, err)
	}
}

// What of an export's parameters is not public goes to the courier, and so does the password for its URL.
func TestREQ07HiddenValuesOfAnExportAreTheCouriers(t *testing.T) {
	r := newOSRig(t)
	r.installed("host", true)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "redfish", Interfaces: map[string][]string{"deploy": {metal.DeployOS}, "power": {"redfish"}}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]any{"url": "https://backup.example.org/n1", "user": "backup", "password": map[string]any{"secret": "pw"}}
	ask := Provision{Verb: metal.VerbService, ServiceSteps: osStep(metal.StepOSExport, args), Secrets: values("pw", "canary-password"),
		OS: &OSInstall{Parameters: osdef.Classes{Private: values("token", "canary-private"), Secret: values("root-key", "canary-secret")}}}
	if err := r.s.SetProvision(t.Context(), caller, r.node.UUID, ask); err != nil {
		t.Fatal(err)
	}
	err = r.db.Read(t.Context(), func(tx *store.Tx) error {
		live, err := tx.LiveOperation(r.node.ID)
		if err != nil {
			return err
		}
		if text := string(live.Record); strings.Contains(text, "canary") || !strings.Contains(text, `"names":["os_parameters_private/token","os_parameters_secret/root-key","pw"]`) {
			t.Errorf("the record is %s", text)
		}
		kept, err := tx.OSInstall(r.node)
		if err != nil || !kept.Parameters.Private["token"].Equal("canary-kept") {
			t.Errorf("what the node is installed with has changed: %+v, %v", kept, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if len(r.kept.Operations()) != 1 {
		t.Error("the courier has nothing")
	}
}

func TestImportsAreJudgedFirst(t *testing.T) {
	r := newOSRig(t)
	from := "https://backup.example.org/n1"
	judge := func(o OSInstall) (metal.Ask, error) {
		var ask metal.Ask
		err := r.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err != nil {
				return err
			}
			n.Interfaces["deploy"] = metal.DeployOS
			rq := &request{Service: r.s, tx: tx, node: n, by: caller, Provision: Provision{Verb: metal.VerbActive, OS: &o}}
			err = rq.checkOS()
			ask = rq.ask
			return err
		})
		return ask, err
	}
	r.s.config.Images.Refused = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, c := range []struct {
		what  string
		asked OSInstall
		says  string
	}{
		{"nothing that imports", OSInstall{Import: from}, "nothing to install from"},
		{"a script that needs trust", OSInstall{Definition: "confined+12", Import: from}, "import of the OS definition runs only if the definition is trusted"},
	} {
		_, err := judge(c.asked)
		r.refused(c.what, err, c.says)
	}
	r.installed("host", true)
	for _, c := range []struct {
		what  string
		asked OSInstall
		says  string
	}{
		{"a user in the URL", OSInstall{Definition: "host+12", Import: "https://u:canary@h/x"}, "has a user in it"},
		{"a refused network", OSInstall{Definition: "host+12", Import: "http://192.0.2.7/x"}, "in a network that nothing is fetched from"},
		{"another mode", OSInstall{Definition: "host+12", Mode: osdef.ModeRun, Import: from}, "the execution mode is install then"},
	} {
		_, err := judge(c.asked)
		r.refused(c.what, err, c.says)
	}
	ask, err := judge(OSInstall{Definition: "host+12", Import: from, ImportCredentials: map[string]secret.Secret{"user": secret.New("u")}})
	if err != nil || ask.OSImport == nil || ask.OSImport.URL != from {
		t.Errorf("what is right: %+v, %v", ask, err)
	}
	o := OSInstall{ImportCredentials: values("user", "u", "password", "canary")}
	if v := o.values(false); len(v) != 2 || !v["os_import/password"].Equal("canary") {
		t.Errorf("the courier gets %v", v)
	}
}

// TestARebuildKeepsAName: what an instance was renamed to stays, unless the rebuild says who it is.
func TestARebuildKeepsAName(t *testing.T) {
	r := newOSRig(t)
	r.installed("host", true)
	keep := func(drive any) (name string) {
		err := r.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err != nil {
				return err
			}
			if err := tx.SetOSRename(n, "web2"); err != nil {
				return err
			}
			install, err := tx.OSInstall(n)
			if err != nil {
				return err
			}
			rq := &request{Service: r.s, tx: tx, node: n, by: caller, Provision: Provision{Verb: metal.VerbRebuild, ConfigDrive: drive}, install: install}
			if err := rq.keepInstall(); err != nil {
				return err
			}
			name, err = tx.OSRename(n)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	if got := keep(nil); got != "web2" {
		t.Errorf("kept %q", got)
	}
	if got := keep(map[string]any{"meta_data": map[string]any{"hostname": "web3"}}); got != "" {
		t.Errorf("kept %q, and the rebuild says another", got)
	}
}
