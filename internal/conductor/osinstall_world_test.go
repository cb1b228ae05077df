package conductor

import (
	"encoding/json"
	"slices"
	"strings"
	"testing/fstest"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// The values that nothing may repeat.
const (
	privateCanary = "canary-private-1234"
	defaultCanary = "canary-default-1234"
	secretCanary  = "canary-secret-12345"
)

const secretAsk = `{"ask":{"secrets":{"handle":"h","server":"s","names":["os_parameters_secret/root-key","personalization/password"]}}}`

// osJourneys are those of nodes whose deploy interface is os-install.
var osJourneys = []journey{
	{"install with an image and a package", metal.PlanDeploy, metal.Available, metal.EventDeploy, secretAsk, metal.Active, metal.DeployFailed, false, true, "image " + testHash + ", scripts, package"},
	{"install with scripts alone", metal.PlanDeploy, metal.Available, metal.EventDeploy, "{}", metal.Active, metal.DeployFailed, false, true, "user data, scripts"},
	{"rebuild with scripts", metal.PlanDeploy, metal.Active, metal.EventRebuild, "{}", metal.Active, metal.DeployFailed, true, true, "image " + testHash + ", scripts"},
}

// installing is the machine's part in installations: what it is told, and what it does with it.
type installing struct {
	definition *osdef.Record
	install    store.OSInstall

	work       agentapi.OSWork // as the last command had it
	verifies   string          // that verify complains with; "": it does not
	fails      string          // that create fails with
	unbootable bool            // what create leaves has no loader
	archive    []byte          // of the agent's logs
	badImage   string          // what the agent says of an image that it does not write
	lasts      bool            // create does not end
	started    int             // how often the agent was started anew
	at         func(*world)    // what happens while create runs, once
	verified   bool            // since the machine was switched on
}

// ofOS tells whether a journey is one of them.
func (j journey) ofOS() bool {
	return slices.ContainsFunc(slices.Concat(osJourneys, osServiceJourneys), func(o journey) bool { return o.name == j.name })
}

// installable gives the world's node what such a journey needs.
func (w *world) installable(j journey) {
	w.t.Helper()
	if !j.ofOS() {
		return
	}
	w.node.Interfaces["deploy"] = metal.DeployOS
	w.os.install = store.OSInstall{Variant: "12", Mode: osdef.ModeInstall, Safe: true, Parameters: osdef.Classes{Public: map[string]string{"mirror": "http://mirror.example"},
		Private: map[string]secret.Secret{"token": secret.New(privateCanary)}}}
	if strings.Contains(j.record, "root-key") {
		w.os.install.Secrets, w.os.install.Package = []string{"root-key"}, "https://packages.example/p.tar.gz"
		w.held = &keeping{values: map[string]string{metal.OSSecretParameter + "root-key": secretCanary, metal.OSCredential + "password": "canary-password-123"}}
	}
	w.holdStreams(j)
	if !strings.HasPrefix(j.disk, "image") {
		w.node.InstanceInfo = secret.NewMap(map[string]any{"configdrive": map[string]any{"user_data": "#cloud-config\n"}})
	}
	w.write(func(tx *store.Tx) error {
		if err := w.define(tx, "create"); err != nil {
			return err
		}
		w.os.install.DefinitionID, w.os.install.Digest, w.os.install.Trusted = w.os.definition.ID, w.os.definition.Digest, true
		return tx.SaveOSInstall(w.node, &w.os.install)
	})
}

// define adds a trusted definition whose create script says something.
func (w *world) define(tx *store.Tx, says string) error {
	b := osBundle(w.t.Fatal, says)
	d, err := b.Definition()
	if err != nil {
		return err
	}
	w.os.definition = &osdef.Record{UUID: "33333333-3333-4333-8333-333333333333", Name: "debian", Digest: b.Digest(), TrustedDigest: b.Digest(), Size: int64(len(b.Tar())), Definition: *d,
		Defaults: map[string]osdef.Classes{"12": {Private: map[string]secret.Secret{"license": secret.New(defaultCanary)}}}}
	return tx.CreateOSDefinition(w.os.definition, b)
}

func osBundle(fatal func(...any), says string) *osdef.Bundle {
	tree := fstest.MapFS{"ganeti_api_version": {Data: []byte("20")}, "parameters.list": {Data: []byte("mirror x\ntoken x\nroot-key x\nlicense x\n")}, "variants.list": {Data: []byte("12\n")}}
	for _, script := range []string{"create", "export", "import", "rename", "verify"} {
		tree[script] = &fstest.MapFile{Data: []byte("#!/bin/sh\n# " + says + "\n"), Mode: 0o755}
	}
	b, err := osdef.FromFS(tree, osdef.Usual, nil)
	if err != nil {
		fatal(err)
	}
	return b
}

// osCommand is the agent's work of os.verify and os.install.
func (w *world) osCommand(short string, cmd agentapi.Command, res *agentapi.Result) {
	w.os.work = agentapi.OSWork{}
	if err := json.Unmarshal(cmd.Params, &w.os.work); err != nil {
		w.t.Errorf("os.%s: %v", short, err)
	}
	res.CommandStatus = agentapi.Running
	if short == "verify" {
		if w.os.verifies != "" {
			res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: w.os.verifies}
			return
		}
		w.os.verified = true
		return
	}
	if w.os.at != nil {
		w.os.at(w)
		w.os.at = nil
	}
	result, known := agentapi.OSResult{}, "nothing secret"
	if slices.ContainsFunc(w.os.work.Parameters, func(p agentapi.OSParameter) bool { return p.Value == secretCanary }) {
		known = secretCanary
	}
	if w.os.work.Definition != nil {
		if !w.os.verified {
			w.t.Error("scripts run with parameters that nobody verified")
		}
		before, _, _ := strings.Cut(w.disk, ", ")
		w.disk = before + ", scripts"
		result.Scripts = []agentapi.OSScript{{Name: "create", Code: 0, Seconds: 1.5, Lines: []string{"unpacking", "its token is " + privateCanary, "and " + defaultCanary + " " + known}}}
	}
	if w.os.fails != "" {
		result.Scripts[0].Code = 3
		res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: w.os.fails}
	} else if w.os.work.Package != nil {
		w.disk += ", package"
		result.Package = &agentapi.OSOverlay{Files: 2, Bytes: 10, SHA256: testHash}
	}
	res.CommandResult, _ = json.Marshal(result)
	res.Progress = &agentapi.Progress{What: "unpack " + privateCanary, Done: 40, Total: 100, Unit: "percent", Message: "with " + known}
}

// installArrived checks what such a journey leaves on its node.
func (w *world) installArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	if !j.ofOS() {
		return
	}
	if j.plan == metal.PlanDeploy && n.InternalInfo[metal.ExecutionModeKey] != osdef.ModeRun || n.InternalInfo[metal.DeployProgressKey] != nil {
		w.t.Errorf("%s: the node shows %v", label, n.InternalInfo)
	}
	w.silentOf(label)
}

// silentOf checks that nothing that is kept repeats a value.
func (w *world) silentOf(label string) {
	w.t.Helper()
	for _, value := range []string{privateCanary, defaultCanary, secretCanary, "canary-password"} {
		w.nowhere(value, label+" ("+value+")")
	}
	w.write(func(tx *store.Tx) error {
		logs, err := tx.Logs(w.node)
		for _, l := range logs {
			data, err := tx.LogData(w.node, l.Name)
			if err != nil || strings.Contains(string(data), "canary") {
				w.t.Errorf("%s: the log %s: %s, %v", label, l.Name, data, err)
			}
		}
		return err
	})
}
