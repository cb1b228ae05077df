package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/driver/redfish"
	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/lab/bmc"
)

// canary is a secret that was planted under a name; it must not be seen again.
type canary struct{ name, value string }

func plant(name string) canary { return canary{name, "canary" + rand.Text()} }

// forms are the ways a value travels: as it is, in hexadecimal, in base64 at each of its three offsets.
func (c canary) forms() []string {
	out := []string{c.value, hex.EncodeToString([]byte(c.value))}
	for offset := range 3 {
		s := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + c.value))
		from := []int{0, 2, 3}[offset] // digits that depend on what stands before
		out = append(out, s[from:len(s)-4])
	}
	return out
}

// unseen looks for every canary in every form.
func unseen(t *testing.T, where string, b []byte, canaries ...canary) {
	t.Helper()
	for _, c := range canaries {
		for _, form := range c.forms() {
			if i := bytes.Index(b, []byte(form)); i >= 0 {
				t.Errorf("%s shows the %s, as %q at byte %d", where, c.name, form, i)
			}
		}
	}
}

// What a stranger gets who copies the database, reads the log or asks the API: no secret. Each look is
// also made for something that must be there, so that an empty answer proves nothing.
func TestSecretsStayInside(t *testing.T) {
	password, wrong, userData := plant("BMC password"), plant("wrong BMC password"), plant("user data")
	all := []canary{password, wrong, userData}
	b, err := bmc.New(bmc.Config{User: "admin", Password: password.value, Machine: bmc.NewFakeMachine()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	seen, err := redfish.Probe(t.Context(), b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("INGOT_DEFAULT__DEBUG", "true")
	r := serving(t, t.TempDir())

	var answers bytes.Buffer
	call := func(method, path string, body any, want int) {
		t.Helper()
		answers.Write(r.call(t, method, path, body, want))
	}
	info := func(p string) map[string]any {
		return map[string]any{"redfish_address": b.URL(), "redfish_username": "admin", "redfish_password": p, "redfish_certificate_fingerprint": seen.Fingerprint}
	}
	drive := map[string]any{"meta_data": map[string]any{"hostname": "h"}, "user_data": userData.value}
	provision := func(node, verb, state string, drive any) {
		t.Helper()
		body := map[string]any{"target": verb}
		if drive != nil {
			body["configdrive"] = drive
		}
		call("PUT", "/v1/nodes/"+node+"/states/provision", body, http.StatusAccepted)
		r.until(t, node, state)
	}
	call("POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "real", "driver_info": info(password.value), "automated_clean": false,
		"instance_info": map[string]any{"image_source": "http://127.0.0.1:1/disk.raw", "image_os_hash_algo": "sha256", "image_os_hash_value": strings.Repeat("ab", 32)}}, http.StatusCreated)
	call("POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "shut-out", "driver_info": info(wrong.value)}, http.StatusCreated)
	call("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "toy", "driver_info": map[string]any{"unknown_key": password.value}}, http.StatusCreated)
	provision("real", "manage", "manageable", nil)
	provision("shut-out", "manage", "enroll", nil)
	provision("real", "provide", "available", nil)
	provision("real", "active", "deploy failed", drive)
	provision("toy", "manage", "manageable", nil)
	provision("toy", "provide", "available", nil)
	provision("toy", "active", "active", drive)

	// Requests that are refused are not repeated to whoever reads the refusal.
	call("POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "toy", "driver_info": info(password.value)}, http.StatusConflict)
	call("POST", "/v1/nodes", map[string]any{"driver": "redfish", "driver_info": password.value}, http.StatusBadRequest)
	call("PATCH", "/v1/nodes/real", []any{map[string]any{"op": "replace", "path": "/driver_info", "value": password.value}}, http.StatusBadRequest)
	call("PUT", "/v1/nodes/toy/states/provision", map[string]any{"target": "active", "configdrive": []string{userData.value}}, http.StatusBadRequest)
	for _, path := range []string{"/v1/nodes/detail", "/v1/nodes?fields=uuid,driver_info,instance_info,driver_internal_info,last_error", "/v1/conductors", "/v1/drivers?detail=true"} {
		call("GET", path, nil, http.StatusOK)
	}
	for _, node := range []string{"real", "shut-out", "toy"} {
		for _, path := range []string{"", "/states", "/validate", "/history/detail"} {
			call("GET", "/v1/nodes/"+node+path, nil, http.StatusOK)
		}
		for _, path := range []string{"/why", "/events", "/logs"} {
			call("GET", "/ingot/v1/nodes/"+node+path, nil, http.StatusOK)
		}
		for _, command := range []string{"show", "why", "events"} {
			answers.WriteString(r.ingot(t, "node", command, node))
		}
	}
	unseen(t, "an answer", answers.Bytes(), all...)
	holds(t, "the answers", answers.String(), `"redfish_password":"******"`, `"unknown_key":"******"`, "shut-out", "The node was enrolled.")

	copied := copyOf(t, filepath.Join(r.dir, "ingot-data"), "ingot.db")
	for name, data := range copied {
		unseen(t, "the database ("+name+")", data, all...)
	}
	holds(t, "the database", string(bytes.Join([][]byte{copied["ingot.db"], copied["ingot.db-wal"]}, nil)), "shut-out", "redfish_password")
	withKey(t, copied, filepath.Join(r.dir, "ingot-data", "ingot.key"), password)

	if code := r.stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	unseen(t, "the log", []byte(r.log.String()), all...)
	holds(t, "the log", r.log.String(), "level=DEBUG", "shut-out", "operation failed", `step="build config drive"`)
	for name, data := range copyOf(t, filepath.Join(r.dir, "ingot-data"), "") {
		unseen(t, "the data folder ("+name+")", data, all...)
	}
}

func holds(t *testing.T, where, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%s should hold %q", where, w)
		}
	}
}

// copyOf reads the files below dir whose names begin with prefix.
func copyOf(t *testing.T, dir, prefix string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), prefix) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("copy of %s: %d files, %v", dir, len(out), err)
	}
	return out
}

// withKey shows that the copy does hold the password, for whoever has the key, and for nobody else.
func withKey(t *testing.T, files map[string][]byte, keyFile string, password canary) {
	t.Helper()
	read := func(keyFile string) (*metal.Node, error) {
		dir := t.TempDir()
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if keyFile == "" {
			keyFile = filepath.Join(dir, "another.key")
		}
		key, err := store.LoadKey(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
		if err != nil {
			return nil, err
		}
		defer db.Close()
		var n *metal.Node
		err = db.Read(t.Context(), func(tx *store.Tx) (err error) {
			n, err = tx.Node("real")
			return err
		})
		return n, err
	}
	if n, err := read(keyFile); err != nil || n.DriverInfo.Public("redfish_password") != password.value {
		t.Errorf("with the key the password should be there: %v", err)
	}
	if n, err := read(""); err == nil {
		t.Errorf("with another key the node can be read: %v", n.DriverInfo)
	}
}

// The first promise to whoever tries Ingot: no flags, no files, an answer within a second.
func TestServesAtOnceWithoutFlags(t *testing.T) {
	for _, address := range []string{"127.0.0.1:6385", "127.0.0.1:6386", "127.0.0.1:6387"} {
		if taken(address) {
			t.Skipf("another program listens on %s, which this test is about", address)
		}
	}
	var took []time.Duration
	for range 3 { // a busy host may delay one start, not three
		begun := time.Now()
		r := begin(t, t.TempDir(), nil, "serve")
		err := answering("http://127.0.0.1:6385")
		took = append(took, time.Since(begun))
		if err != nil {
			t.Fatalf("%v\nlog:\n%s", err, r.log)
		}
		if code := r.stop(t); code != 0 {
			t.Fatalf("ended with %d; its log:\n%s", code, r.log)
		}
		if took[len(took)-1] < time.Second {
			break
		}
	}
	if slices.Min(took) >= time.Second {
		t.Errorf("the first answer came after %s", fmt.Sprint(took))
	}
}
