package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ipa behaves as ironic-python-agent 12 does, by what the agent protocol reference says of it: how it finds its
// control plane, proves itself, takes commands and answers. It is not ours: it shares no type with agentapi, knows no
// field that upstream does not have, and is as strict and as odd as the original. What it does to the disk is real.
type ipa struct {
	m     *machine
	api   string // ipa-api-url, from the operator's ISO
	http  *http.Client
	minor int // of the API, as it says

	srv  *httptest.Server
	cert string
	beat chan struct{} // forces a heartbeat
	end  chan struct{} // closed when the power is gone
	done sync.WaitGroup

	mu       sync.Mutex
	node     string
	token    string
	commands []*ipaCommand
	poisoned bool // a synchronous command raised what cannot be serialised: every answer is 500 from then on
}

type ipaCommand struct {
	id, name, status string
	fault            map[string]any
	result           any
}

// ipaISO is what the operator has put on a boot ISO of their own, beside the agent.
type ipaISO struct {
	APIURL string `json:"ipa-api-url"`
	CA     string `json:"cafile"`
}

// ipaVersions are the hardware managers of a ramdisk without plug-ins (reference §13.2).
var ipaVersions = map[string]any{"generic_hardware_manager": "1.2"}

func startIPA(m *machine, iso []byte) (*ipa, error) {
	var on ipaISO
	if err := json.Unmarshal(bytes.TrimRight(iso, "\x00"), &on); err != nil {
		return nil, fmt.Errorf("the boot ISO is none of the operator's: %w", err)
	}
	a := &ipa{m: m, api: on.APIURL, beat: make(chan struct{}, 1), end: make(chan struct{}), http: trusting(on.CA)}
	a.done.Go(a.run)
	return a, nil
}

// trusting is a client that trusts one CA.
func trusting(ca string) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

func (a *ipa) stop() {
	close(a.end)
	a.done.Wait()
	if a.srv != nil {
		a.srv.CloseClientConnections()
		a.srv.Close()
	}
	a.http.CloseIdleConnections()
}

func (a *ipa) log(format string, args ...any) { a.m.Print(fmt.Sprintf("ipa: "+format+"\n", args...)) }

// run is §3: version probe, lookup, certificate, API, heartbeats.
func (a *ipa) run() {
	if err := a.begin(); err != nil {
		a.log("%v", err)
		return
	}
	for first := true; ; first = false {
		if !first {
			select {
			case <-a.end:
				return
			case <-a.beat:
			case <-time.After(5 * time.Second):
			}
		}
		if err := a.heartbeat(); err != nil {
			a.log("heartbeat: %v", err)
		}
	}
}

func (a *ipa) begin() error {
	var root struct {
		Default struct{ Version string } `json:"default_version"`
	}
	if _, err := a.ask(http.MethodGet, "/", 0, nil, &root); err != nil {
		return fmt.Errorf("version probe: %w", err)
	}
	_, minor, _ := strings.Cut(root.Default.Version, ".")
	a.minor, _ = strconv.Atoi(minor)
	for {
		err := a.lookup()
		if err == nil {
			break
		}
		a.log("lookup: %v", err)
		select {
		case <-a.end:
			return errors.New("the power went while it looked for its node")
		case <-time.After(100 * time.Millisecond):
		}
	}
	return a.listen()
}

// lookup is §4.2 and §5.1: a masked token and none on file is the end of the agent.
func (a *ipa) lookup() error {
	var found struct {
		Node   map[string]any
		Config map[string]any
	}
	status, err := a.ask(http.MethodGet, "/v1/lookup?addresses="+strings.Join(a.m.MACs(), ","), min(a.minor, 62), nil, &found)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("status %d, %v", status, err)
	}
	id, _ := found.Node["uuid"].(string)
	token, _ := found.Config["agent_token"].(string)
	if _, ok := found.Config["heartbeat_timeout"].(float64); !ok || id == "" {
		return fmt.Errorf("no valid answer: %v", found)
	}
	if len(token) < 32 {
		return fmt.Errorf("no token: %q", token)
	}
	a.mu.Lock()
	a.node, a.token = id, token
	a.mu.Unlock()
	return nil
}

// listen makes the certificate of §5.2 and serves the API of §6.
func (a *ipa) listen() error {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(30 * 24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, SignatureAlgorithm: x509.ECDSAWithSHA512}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	a.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.srv = httptest.NewUnstartedServer(a)
	a.srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	a.srv.StartTLS()
	return nil
}

func (a *ipa) heartbeat() error {
	a.mu.Lock()
	body := map[string]any{"callback_url": a.srv.URL, "agent_token": a.token, "agent_version": "12.0.1.dev12", "agent_verify_ca": a.cert}
	node := a.node
	a.mu.Unlock()
	status, err := a.ask(http.MethodPost, "/v1/heartbeat/"+node, min(a.minor, 68), body, nil)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// ask sends one request to the control plane, as §4.1 says.
func (a *ipa) ask(method, path string, minor int, body, into any) (int, error) {
	raw := []byte{}
	if body != nil {
		raw, _ = json.Marshal(body)
	}
	req, err := http.NewRequest(method, a.api+path, bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if minor > 0 {
		req.Header.Set("X-OpenStack-Ironic-API-Version", fmt.Sprintf("1.%d", minor))
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || into == nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, err
	}
	return resp.StatusCode, json.Unmarshal(answer, into)
}

// ServeHTTP is the agent's API. A path without its slash is redirected, a token in the query is wanted.
func (a *ipa) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1")
	switch {
	case path == "/commands":
		http.Redirect(w, r, r.URL.Path+"/?"+r.URL.RawQuery, http.StatusPermanentRedirect)
		return
	case path != "/commands/":
		ipaFault(w, http.StatusNotFound, "404 Not Found: The requested URL was not found on the server.")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.token == "" || r.URL.Query().Get("agent_token") != a.token:
		ipaFault(w, http.StatusUnauthorized, "401 Unauthorized: Token invalid.")
	case a.poisoned:
		ipaFault(w, http.StatusInternalServerError, "Object of type TypeError is not JSON serializable")
	case r.Method == http.MethodGet:
		list := []any{}
		for _, c := range a.commands {
			list = append(list, c.view())
		}
		ipaAnswer(w, http.StatusOK, map[string]any{"commands": list})
	case r.Method == http.MethodPost:
		a.command(w, r)
	default:
		ipaFault(w, http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
}

func ipaAnswer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func ipaFault(w http.ResponseWriter, status int, text string) {
	code := "Client"
	if status >= 500 {
		code = "Server"
	}
	ipaAnswer(w, status, map[string]any{"faultcode": code, "faultstring": text})
}

func (c *ipaCommand) view() map[string]any {
	v := map[string]any{"id": c.id, "command_name": c.name, "command_status": c.status, "command_error": nil, "command_result": c.result}
	if c.fault != nil {
		v["command_error"] = c.fault
	}
	return v
}

// ipaExtensions are the commands that the conductor may use, with their parameters: those in need must be there, and
// unless rest is set no others may be.
var ipaExtensions = map[string]ipaSpec{
	"clean.get_clean_steps":      {need: []string{"node", "ports"}},
	"deploy.get_deploy_steps":    {need: []string{"node", "ports"}},
	"clean.execute_clean_step":   {async: true, need: []string{"step", "node", "ports"}, more: []string{"clean_version"}, rest: true},
	"deploy.execute_deploy_step": {async: true, need: []string{"step", "node", "ports"}, more: []string{"deploy_version"}, rest: true},
	"image.install_bootloader": {async: true, need: []string{"root_uuid"},
		more: []string{"efi_system_part_uuid", "prep_boot_part_uuid", "target_boot_mode", "ignore_bootloader_failure"}},
	"standby.power_off":       {async: true},
	"standby.sync":            {},
	"log.collect_system_logs": {},
}

// command is a POST, under the lock: nothing is started while the last one runs.
func (a *ipa) command(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Name   *string
		Params map[string]any
	}
	if json.NewDecoder(r.Body).Decode(&ask) != nil || ask.Name == nil || ask.Params == nil {
		ipaFault(w, http.StatusBadRequest, "Request body could not be parsed: Missing or invalid name or params")
		return
	}
	extension, short, ok := strings.Cut(*ask.Name, ".")
	spec, known := ipaExtensions[*ask.Name]
	if last := len(a.commands) - 1; last >= 0 && a.commands[last].status == "RUNNING" {
		ipaFault(w, http.StatusConflict, "Agent is busy: executing command "+a.commands[last].name)
		return
	}
	switch {
	case !ok:
		ipaFault(w, http.StatusBadRequest, "Invalid command: Command name must be of the form <extension>.<name>")
		return
	case !known:
		ipaFault(w, http.StatusNotFound, "Not found: Extension with id "+extension+" not found.")
		return
	}
	c := &ipaCommand{id: hex.EncodeToString([]byte(fmt.Sprint(time.Now().UnixNano()))), name: short, status: "RUNNING"}
	wrong := spec.wrong(ask.Params)
	if !spec.async && wrong != "" { // the error is kept as it is, and nothing can be answered any more
		a.poisoned = true
		a.log("TypeError: %s() %s", short, wrong)
		ipaFault(w, http.StatusInternalServerError, "Object of type TypeError is not JSON serializable")
		return
	}
	a.commands = append(a.commands, c)
	if !spec.async {
		c.status, c.result = "SUCCEEDED", ipaSync(*ask.Name)
		ipaAnswer(w, http.StatusOK, c.view())
		return
	}
	a.done.Go(func() { a.execute(c, *ask.Name, ask.Params, wrong) })
	ipaAnswer(w, http.StatusOK, c.view())
}

type ipaSpec struct {
	async      bool
	need, more []string
	rest       bool
}

func (s ipaSpec) wrong(params map[string]any) string {
	for _, n := range s.need {
		if _, ok := params[n]; !ok {
			return "missing a required argument: " + n
		}
	}
	for p := range params {
		if !s.rest && !slices.Contains(s.need, p) && !slices.Contains(s.more, p) {
			return "got an unexpected keyword argument " + p
		}
	}
	return ""
}

// execute runs an asynchronous command and forces a heartbeat at its end.
func (a *ipa) execute(c *ipaCommand, name string, params map[string]any, wrong string) {
	var result any
	status, class, code, details := "SUCCEEDED", "", 500, ""
	switch err := error(nil); {
	case wrong != "":
		status, class, details = "FAILED", "CommandExecutionError", c.name+"() "+wrong
	default:
		result, err = a.do(name, params)
		var mismatch versionMismatch
		if errors.As(err, &mismatch) {
			status, class, code, details = "CLEAN_VERSION_MISMATCH", "VersionMismatch", 409, err.Error()
		} else if err != nil {
			status, class, details = "FAILED", "CommandExecutionError", err.Error()
		}
	}
	if text, ok := result.(string); ok {
		result = map[string]any{"result": c.name + ": " + text}
	}
	a.mu.Lock()
	c.status, c.result = status, result
	if class != "" {
		a.log("%s: %s", name, details)
		c.result, c.fault = nil, map[string]any{"type": class, "code": code, "message": "Command execution failed", "details": details}
	}
	a.mu.Unlock()
	select {
	case a.beat <- struct{}{}:
	default:
	}
	if name == "standby.power_off" && status == "SUCCEEDED" {
		a.m.Halt()
	}
}

type versionMismatch struct{ error }

func (a *ipa) do(name string, params map[string]any) (any, error) {
	switch name {
	case "clean.execute_clean_step":
		step, _ := params["step"].(map[string]any)
		if err := sameIPA(params["clean_version"]); err != nil {
			return nil, err
		}
		if err := a.erase(step); err != nil {
			return nil, err
		}
		return map[string]any{"clean_result": nil, "clean_step": step}, nil
	case "deploy.execute_deploy_step":
		step, _ := params["step"].(map[string]any)
		if err := sameIPA(params["deploy_version"]); err != nil {
			return nil, err
		}
		args, _ := step["args"].(map[string]any)
		if step["step"] != "write_image" {
			return nil, fmt.Errorf("no hardware manager has the method %v", step["step"])
		}
		result, err := a.writeImage(args)
		return map[string]any{"deploy_result": map[string]any{"result": result}, "deploy_step": step}, err
	case "image.install_bootloader":
		// A whole disk has no root partition for a BIOS boot loader to go into.
		if params["root_uuid"] == nil && params["target_boot_mode"] != "uefi" {
			return nil, errors.New("error finding the disk or partition device to deploy the image onto: no root_uuid")
		}
	}
	return nil, nil
}

func sameIPA(v any) error {
	if got, ok := v.(map[string]any); v != nil && (!ok || fmt.Sprint(got) != fmt.Sprint(ipaVersions)) {
		return versionMismatch{fmt.Errorf("Hardware managers version mismatch, reload agent: %v", v)}
	}
	return nil
}

// erase does what the generic hardware manager's automated steps do to a disk without the means to erase itself.
func (a *ipa) erase(step map[string]any) error {
	disk := filepath.Join(a.m.root, "dev/vda")
	switch step["step"] {
	case "erase_devices":
		return os.WriteFile(disk, make([]byte, diskSize), 0o600)
	case "erase_devices_metadata":
		f, err := os.OpenFile(disk, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, at := range []int64{0, diskSize - 33*512} {
			if _, err := f.WriteAt(make([]byte, 33*512), at); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no hardware manager has the method %v", step["step"])
}

// writeImage takes image_info as standby.prepare_image checks it, and the config drive as base64 of a gzip or not at all.
func (a *ipa) writeImage(args map[string]any) (string, error) {
	for k := range args {
		if k != "image_info" && k != "configdrive" {
			return "", fmt.Errorf("Unexpected exception performing deploy step write_image. TypeError: unexpected keyword argument %s", k)
		}
	}
	info, _ := args["image_info"].(map[string]any)
	urls, _ := info["urls"].([]any)
	id, _ := info["id"].(string)
	algo, _ := info["os_hash_algo"].(string)
	value, _ := info["os_hash_value"].(string)
	switch {
	case id == "" || len(urls) == 0:
		return "", errors.New("Image is missing 'id' or 'urls' field.")
	case algo != "sha256" || value == "":
		return "", errors.New("Image 'os_hash_algo' must be a non-empty string.")
	case info["disk_format"] != "raw" || info["stream_raw_images"] != true:
		return "", fmt.Errorf("only raw images are streamed here: %v", info)
	}
	resp, err := http.Get(fmt.Sprint(urls[0]))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	image, err := io.ReadAll(resp.Body)
	if sum := sha256.Sum256(image); err != nil || hex.EncodeToString(sum[:]) != value {
		return "", fmt.Errorf("Failed to verify image checksum: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(a.m.root, "dev/vda"), os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.WriteAt(image, 0); err != nil {
		return "", err
	}
	if drive, given := args["configdrive"]; given && drive != nil {
		text, _ := drive.(string)
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("Config drive is not base64: %w", err)
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return "", fmt.Errorf("Config drive is not gzipped: %w", err)
		}
		iso, err := io.ReadAll(z)
		if err != nil || !bytes.Contains(iso, []byte("openstack")) {
			return "", fmt.Errorf("Config drive is no config drive: %v", err)
		}
		if _, err := f.WriteAt(iso, diskSize-64<<10-int64(len(iso))); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("prepare_image: image (%s) written to device /dev/vda root_uuid=None", id), nil
}

// ipaSync is the result of a synchronous command. The clean steps are the generic hardware manager's (reference §12).
func ipaSync(name string) any {
	step := func(i, s string, priority int) map[string]any {
		return map[string]any{"step": s, "priority": priority, "interface": i, "reboot_requested": false, "abortable": true}
	}
	switch name {
	case "clean.get_clean_steps":
		nvram := step("deploy", "clean_uefi_nvram", 0)
		nvram["argsinfo"] = map[string]any{"match_patterns": map[string]any{"description": "regular expressions", "required": false}}
		return map[string]any{"hardware_manager_version": ipaVersions, "clean_steps": map[string]any{"GenericHardwareManager": []any{
			step("deploy", "erase_devices", 10), step("deploy", "erase_devices_metadata", 99), step("deploy", "erase_devices_express", 0),
			step("deploy", "erase_pstore", 0), nvram, step("raid", "delete_configuration", 0), step("raid", "create_configuration", 0),
			step("deploy", "burnin_cpu", 0), step("deploy", "burnin_memory", 0)}}}
	case "deploy.get_deploy_steps":
		write := map[string]any{"step": "write_image", "priority": 0, "interface": "deploy", "reboot_requested": false}
		return map[string]any{"hardware_manager_version": ipaVersions, "deploy_steps": map[string]any{"GenericHardwareManager": []any{write}}}
	case "log.collect_system_logs":
		return map[string]any{"system_logs": "H4sIAAAAAAAAA+3BAQ0AAADCoPdPbQ43oAAAAAAAAAAAAIA3A5reHScAKAAA"}
	}
	return nil
}
