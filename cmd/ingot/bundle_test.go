package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// Secrets are planted wherever an operator or a machine may put them; the bundle has everything else.
func TestSupportBundleHasNoSecrets(t *testing.T) {
	bmcPassword, userData, token, imageUser := plant("BMC password"), plant("user data"), plant("agent token"), plant("image credentials")
	dir := t.TempDir()
	r := serving(t, dir)
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n1", "driver_info": map[string]any{"fake_password": bmcPassword.value}}, 201)
	for _, v := range []string{"manage", "provide"} {
		r.ingot(t, "node", v, "n1", "--wait")
	}
	r.call(t, "PATCH", "/v1/nodes/n1", []map[string]any{{"op": "add", "path": "/instance_info/image_source", "value": "http://u:" + imageUser.value + "@127.0.0.1:1/disk.raw"},
		{"op": "add", "path": "/extra/api_token", "value": token.value}}, 200)
	r.call(t, "PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "active", "configdrive": map[string]any{
		"meta_data": map[string]any{"hostname": "h"}, "user_data": userData.value}}, 202)
	r.until(t, "n1", "active")
	if code := r.stop(t); code != 0 {
		t.Fatalf("ended with %d", code)
	}
	logged(t, filepath.Join(dir, "ingot-data"), "n1", "boot ok\nagent_token="+token.value+" user_data: "+userData.value+"\nfetch https://u:"+imageUser.value+"@h/x\nredfish_password="+bmcPassword.value+"\n")
	r = serving(t, dir)
	said := r.ingot(t, "support-bundle", "--node", "n1", "--node", "nobody", "--file", "out.tar.gz")
	info, err := os.Stat(filepath.Join(dir, "out.tar.gz"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	files := unpacked(t, filepath.Join(dir, "out.tar.gz"))
	for name, want := range map[string]string{"version.json": `"go"`, "config.json": "enabled_hardware_types", "doctor.json": `"check": "schema"`,
		"conductors.json": `"alive": true`, "operations.json": "[", "events.json": `"kind": "transition"`, "nodes.json": `"name": "n1"`,
		"server/goroutines.txt": "goroutine ", "server/metrics.txt": "ingot_build_info", "nodes/n1/node.json": `"provision_state": "active"`,
		"nodes/n1/operation.json": `"status": "done"`, "nodes/n1/events.json": `"place"`, "nodes/n1/logs/console.log": "boot ok", "missing.txt": "Node nobody could not be found"} {
		text, ok := files["ingot-support/"+name]
		if !ok || !strings.Contains(text, want) || !strings.Contains(said, name) {
			t.Errorf("%s: %q is missing in %.2000q", name, want, text)
		}
	}
	for name, text := range files {
		unseen(t, name, []byte(text), bmcPassword, userData, token, imageUser)
	}
	if out, err := r.command("support-bundle", "--file", "out.tar.gz").CombinedOutput(); err == nil || !strings.Contains(string(out), "--file names another") {
		t.Errorf("over a file that is there: %v\n%s", err, out)
	}
}

// logged keeps a log for a node, as a conductor would; no server runs.
func logged(t *testing.T, data, node, text string) {
	t.Helper()
	path := filepath.Join(data, "ingot.db")
	key, err := store.KeyFor(path, filepath.Join(data, "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		var n *metal.Node
		if n, err = tx.Node(node); err != nil {
			return err
		}
		return tx.AddLog(n, "", "console.log", []byte(text))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func unpacked(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(b)
	}
}
