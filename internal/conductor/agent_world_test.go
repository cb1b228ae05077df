package conductor

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const testInventory = `{"interfaces": [{"name": "eno1", "mac_address": "52:54:00:00:00:01", "ipv4_address": "192.0.2.10"},
	{"name": "eno2", "mac_address": "52:54:00:00:00:02"}], "cpu": {"count": 4, "architecture": "x86_64"}, "memory": {"physical_mb": 8192},
	"disks": [{"name": "/dev/sda", "size": 107374182400}, {"name": "/dev/sdb", "size": 1099511627776}],
	"system_vendor": {"manufacturer": "ACME"}, "boot": {"current_boot_mode": "uefi", "secure_boot": true}}`

// agentTLS is the certificate of every agent here: an elliptic curve's signature costs a tenth of RSA's.
var agentTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// callBack lets a machine that runs from its boot media do what its agent would: heartbeat.
func (w *world) callBack() {
	w.mu.Lock()
	if w.silent && w.on && w.media != "" && w.onWait != nil {
		w.onWait(w)
		w.onWait = nil
	}
	running := w.on && (w.boot.Device == "cdrom" && w.media != "" || w.byHand || w.fromNet()) && !w.silent
	boot := w.media[strings.LastIndex(w.media, "/")+1:]
	lost := slices.ContainsFunc(w.dead, func(url string) bool { return strings.HasPrefix(w.media, url) })
	w.mu.Unlock()
	if !running || w.asked {
		return
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.agent.Certificate().Raw}))
	w.write(func(tx *store.Tx) error {
		a, err := tx.Agent(w.node)
		if err != nil || a == nil || a.Boot != boot && !w.byHand && w.net == nil || lost && a.LastHeartbeat.IsZero() {
			return err
		}
		w.mu.Lock()
		w.token = a.Token.Expose()
		w.mu.Unlock()
		live, err := tx.LiveOperation(w.node.ID)
		if err != nil {
			return err
		}
		if a.LastHeartbeat.IsZero() || live != nil && live.WaitingFor == metal.WaitAgent { // others change nothing
			a.URL, a.VerifyCA, a.LastHeartbeat = w.agent.URL, cert, time.Now()
			if err := tx.SaveAgent(a); err != nil {
				return err
			}
		}
		return tx.Wake(w.node.ID, metal.WaitAgent)
	})
}

// The agent: commands that run are found finished at the second look.
func (w *world) serveAgent(rw http.ResponseWriter, req *http.Request) {
	if w.real != nil {
		w.real.serve(rw, req)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.user.gone {
		panic(http.ErrAbortHandler) // nobody listens any more
	}
	if strings.HasSuffix(req.URL.Path, "/status") {
		fmt.Fprintf(rw, `{"started_at": %d, "version": "1", "ingot_instance": "start-%d"}`, 1+w.os.started, w.os.started)
		return
	}
	if !w.on || req.URL.Query().Get("agent_token") != w.token {
		http.Error(rw, `{"faultstring": "Token invalid."}`, http.StatusUnauthorized)
		return
	}
	if req.Method == http.MethodGet {
		w.user.heard = w.user.heard || w.user.in
		body, _ := json.Marshal(map[string]any{"commands": w.commands})
		for i := range w.commands {
			if w.commands[i].CommandStatus == agentapi.Running && !(w.os.lasts && w.commands[i].CommandName == "install") {
				w.commands[i].CommandStatus = agentapi.Succeeded
			}
		}
		_, _ = rw.Write(body)
		return
	}
	var cmd agentapi.Command
	raw, _ := io.ReadAll(req.Body)
	if err := json.Unmarshal(raw, &cmd); err != nil {
		http.Error(rw, `{"faultstring": "bad"}`, http.StatusBadRequest)
		return
	}
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := agentapi.Result{ID: fmt.Sprint(len(w.commands)), CommandName: short, CommandStatus: agentapi.Succeeded}
	w.count("agent " + short)
	w.runCommand(short, cmd, &res)
	w.commands = append(w.commands, res)
	if w.user.hurried && w.user.in {
		w.user.gone = true
	}
	out, _ := json.Marshal(res)
	_, _ = rw.Write(out)
}

// agentOffers is what the agent lists, for every kind of step.
const agentOffers = `{"KIND_steps":{"M":[{"interface":"deploy","step":"erase_devices","priority":10,"abortable":true},
	{"interface":"deploy","step":"erase_devices_metadata","priority":99,"abortable":true},{"interface":"deploy","step":"never","priority":0},
	{"interface":"deploy","step":"update_nic","priority":0,"reboot_requested":true},{"interface":"deploy","step":"write_image","priority":0},
	{"interface":"deploy","step":"tune","priority":0,"argsinfo":{"password":{"description":"x"}}}]},"hardware_manager_version":{"m":"VERSION"}}`

const erasedResult = `{"clean_result":{"/dev/sda":{"serial":"S1","size":8000000000,"how":"wiped","wwn":"0x5000","model":"M\n1","proof":{"method":"METHOD",
	"partial":PARTIAL,"passes":2,"began":"2026-01-02T03:04:05Z","ended":"2026-01-02T03:05:05Z","read_back":{"whole":true,"samples":2,"length":4096,"offsets":[0,4096],
	"zero":2,"result":"all zero"}}},"/dev/sdb":{"serial":"S2","size":1,"how":"left alone"},"other":{"how":"x","proof":{"method":"overwrite"}}}}`

func (w *world) runCommand(short string, cmd agentapi.Command, res *agentapi.Result) {
	switch short {
	case "collect_system_logs":
		res.CommandResult = json.RawMessage(`{"system_logs":"bG9ncw=="}`)
		if w.os.archive != nil {
			res.CommandResult, _ = json.Marshal(map[string][]byte{"system_logs": w.os.archive})
		}
	case "get_clean_steps", "get_deploy_steps", "get_service_steps":
		kind := strings.TrimSuffix(strings.TrimPrefix(short, "get_"), "_steps")
		offers := strings.NewReplacer("KIND", kind, "VERSION", w.versions).Replace(agentOffers)
		if kind == "deploy" { // nothing runs by itself there
			offers = strings.NewReplacer(`"priority":10,`, `"priority":0,`, `"priority":99,`, `"priority":0,`).Replace(offers)
		}
		if w.variables != nil && kind == "clean" {
			offers = strings.Replace(offers, `"M":[`, `"M":[{"interface":"deploy","step":"clean_uefi_variables","priority":5},`, 1)
		}
		res.CommandResult = json.RawMessage(offers)
	case "execute_clean_step", "execute_service_step", "execute_deploy_step":
		var p agentapi.StepParams
		_ = json.Unmarshal(cmd.Params, &p)
		w.told = p.Node.InternalInfo
		res.CommandStatus = agentapi.Running
		for _, v := range []map[string]string{p.CleanVersion, p.DeployVersion, p.ServiceVersion} {
			if v != nil && v["m"] != w.versions {
				res.CommandStatus = agentapi.VersionMismatch
				return
			}
		}
		w.count("step " + p.Step.Step)
		switch p.Step.Step {
		case "erase_devices", "erase_devices_metadata":
			w.disk = "erased"
			res.CommandResult = json.RawMessage(strings.NewReplacer("METHOD", cmp.Or(map[string]string{"erase_devices": "overwrite"}[p.Step.Step], "metadata only"), "PARTIAL", strconv.FormatBool(p.Step.Step != "erase_devices")).Replace(cmp.Or(w.saysErased, erasedResult)))
		case "clean_uefi_variables":
			kept, _ := json.Marshal(w.variables)
			w.toldVariables, _ = p.Node.InternalInfo[agentapi.KnownVariables].([]any)
			res.CommandResult = json.RawMessage(`{"clean_result":{"uefi-variables":{"how":"2 removed","proof":{"method":"removed","passes":1}},"kept":` + string(kept) + `}}`)
		case "write_image":
			info, _ := p.Step.Args["image_info"].(map[string]any)
			if from := fmt.Sprint(info["urls"]); slices.ContainsFunc(w.dead, func(url string) bool { return strings.Contains(from, url) }) {
				w.count("lost image")
				res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: "the image cannot be fetched"}
				return
			}
			if w.os.badImage != "" {
				res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: w.os.badImage}
				return
			}
			w.wrote = fmt.Sprint(info["urls"])
			if w.os.definition != nil && !w.os.verified {
				w.t.Error("an image is written before the OS parameters were verified")
			}
			w.drive, _ = p.Step.Args["configdrive"].(string)
			w.disk = fmt.Sprint("image ", info["os_hash_value"])
		case "tune":
			w.disk = "serviced"
		}
	case "get_hardware_info":
		res.CommandResult = json.RawMessage(testInventory)
	case "install_bootloader":
		res.CommandStatus = agentapi.Running
		if w.os.unbootable {
			res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: "there is no loader"}
		}
	case "power_off":
		w.on = false
	case "finalize_rescue":
		w.letIn(cmd, res)
	case "verify", "install":
		w.osCommand(short, cmd, res)
	case "export", "import", "rename":
		w.osStream(short, cmd, res)
	}
}
