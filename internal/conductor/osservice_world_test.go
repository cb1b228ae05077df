package conductor

import (
	"encoding/json"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
)

const (
	exportAsk = `{"ask":{"steps":[{"interface":"deploy","step":"os_export","args":{"url":"https://backup.example.org/n1","user":"backup","password":{"secret":"pw"}}}],
		"os_parameters":{"mirror":"http://other.example"},"secrets":{"handle":"h","server":"s","names":["os_parameters_secret/root-key","pw"]}}}`
	renameAsk = `{"ask":{"steps":[{"interface":"deploy","step":"os_rename","args":{"name":"web2.example.org"}}]}}`
	importAsk = `{"ask":{"os_import":{"url":"https://backup.example.org/n1"},"secrets":{"handle":"h","server":"s","names":["os_import/user","os_import/password"]}}}`
)

// osServiceJourneys are the exports, renames and imports.
var osServiceJourneys = []journey{
	{"export", metal.PlanService, metal.Active, metal.EventService, exportAsk, metal.Active, metal.ServiceFailed, true, true, "user data"},
	{"rename", metal.PlanService, metal.Active, metal.EventService, renameAsk, metal.Active, metal.ServiceFailed, true, true, "user data, renamed"},
	{"import", metal.PlanDeploy, metal.Available, metal.EventDeploy, importAsk, metal.Active, metal.DeployFailed, false, true, "imported"},
}

// readsOnly: nothing of the machine is changed, so that it runs again whatever goes wrong.
func (j journey) readsOnly() bool { return j.name == "export" }

// holdStreams keeps what such a journey's values are.
func (w *world) holdStreams(j journey) {
	switch j.name {
	case "export":
		w.held = &keeping{values: map[string]string{metal.OSSecretParameter + "root-key": secretCanary, "pw": "canary-password-123"}}
	case "import":
		w.held = &keeping{values: map[string]string{metal.OSImportSecret + "user": "backup", metal.OSImportSecret + "password": "canary-password-123"}}
	}
}

// osStream is the agent's work of os.export, os.import and os.rename.
func (w *world) osStream(short string, cmd agentapi.Command, res *agentapi.Result) {
	w.os.work = agentapi.OSWork{}
	if err := json.Unmarshal(cmd.Params, &w.os.work); err != nil {
		w.t.Errorf("os.%s: %v", short, err)
	}
	if w.os.at != nil {
		w.os.at(w)
		w.os.at = nil
	}
	res.CommandStatus = agentapi.Running
	result := agentapi.OSResult{Scripts: []agentapi.OSScript{{Name: short, Seconds: 2, Lines: []string{"its token is " + privateCanary}}}}
	if w.given()["root-key"] != "" {
		result.Scripts[0].Lines = append(result.Scripts[0].Lines, "and "+secretCanary)
	}
	if w.os.fails != "" {
		result.Scripts[0].Code = 3
		res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: w.os.fails}
		res.CommandResult, _ = json.Marshal(result)
		return
	}
	switch short {
	case "rename":
		w.disk = strings.TrimSuffix(w.disk, ", renamed") + ", renamed"
	case "import":
		if !w.os.verified {
			w.t.Error("an import runs with parameters that nobody verified")
		}
		w.disk = "imported"
	}
	if s := w.os.work.Streams; s != nil {
		if s.URL != "https://backup.example.org/n1" || s.User != "backup" || s.Password != "canary-password-123" || s.MaxBytes != 1<<40 {
			w.t.Errorf("os.%s: the streams are %+v", short, s)
		}
		result.Manifest = &agentapi.OSManifest{Version: 1, Definition: "debian", Disks: []agentapi.OSDump{{Name: "disk-0", Bytes: 7, SHA256: testHash, DiskSize: 9}}}
	}
	res.Progress = &agentapi.Progress{What: "exporting disk 1 of 1", Done: 5, Total: 7, Unit: "bytes"}
	res.CommandResult, _ = json.Marshal(result)
}
