package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	sqlite3 "modernc.org/sqlite"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// dieEnv has a program of a test kill itself, as kill -9 does, in its n-th commit to SQLite.
const dieEnv = "INGOT_TEST_DIE"

func dieAtCommit(n string) {
	limit, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		panic(err)
	}
	var commits atomic.Int64
	sqlite3.RegisterConnectionHook(func(c sqlite3.ExecQuerierContext, _ string) error {
		hooks, ok := c.(sqlite3.HookRegisterer)
		if !ok {
			return fmt.Errorf("%T has no hooks", c)
		}
		hooks.RegisterCommitHook(func() int32 {
			if commits.Add(1) == limit {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return 0
		})
		return nil
	})
}

// keyBytes reads a key file.
func keyBytes(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 32 {
		t.Fatalf("the key %s: %d bytes, %v", path, len(b), err)
	}
	return b
}

// passwordOf reads a node's password from a database, opened with the key in a file.
func passwordOf(t *testing.T, database, keyFile, node string) (string, error) {
	t.Helper()
	key, err := store.LoadKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), database, key)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var n *metal.Node
	err = db.Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = tx.Node(node)
		return err
	})
	if err != nil {
		return "", err
	}
	return n.DriverInfo.Public("redfish_password"), nil
}

// TestKeysRotate replaces the keys of a server that runs: it goes on reading what it had and what is new, a copy of the
// database opens with the new key only, and no output shows a key.
func TestKeysRotate(t *testing.T) {
	password, later := plant("password"), plant("password of later")
	r := serving(t, t.TempDir())
	data := filepath.Join(r.dir, "ingot-data")
	node := func(name, password string) {
		t.Helper()
		r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": name, "driver_info": map[string]any{"redfish_password": password}}, 201)
	}
	node("before", password.value)
	before := keyBytes(t, filepath.Join(data, "ingot.key"))
	shown := r.ingot(t, "keys", "show")
	holds(t, "keys show", shown, "current")
	output := r.ingot(t, "keys", "rotate")
	holds(t, "keys rotate", output, "begins", "sealed anew", "retired", "opens with the key")
	after := keyBytes(t, filepath.Join(data, "ingot.key"))
	if bytes.Equal(before, after) {
		t.Error("the key file is the same")
	}
	node("after", later.value)
	shown += r.ingot(t, "keys", "show")
	holds(t, "keys show", shown, "retired")
	backup := filepath.Join(t.TempDir(), "backup.db")
	output += r.ingot(t, "db", "backup", backup)
	id := strings.Fields(output[strings.Index(output, "opens with the key ")+len("opens with the key "):])[0]
	holds(t, "db backup", output, "also need the key "+id+",")
	holds(t, "the backup's keys", r.ingot(t, "keys", "show", "--backup", backup), id)
	holds(t, "the server", string(r.call(t, "GET", "/v1/nodes/detail", nil, 200)), "before", "after")

	old, err := filepath.Glob(filepath.Join(data, "ingot.key.old-*"))
	if err != nil || len(old) != 1 || !bytes.Equal(keyBytes(t, old[0]), before) {
		t.Errorf("the old key lies at %v, %v", old, err)
	}
	copied := copyOf(t, data, "ingot.db")
	for name, b := range copied {
		unseen(t, "the database ("+name+")", b, password, later)
		unseenKeys(t, name, b, before, after)
	}
	unseenKeys(t, "keys show", []byte(shown), before, after)
	unseenKeys(t, "the output", []byte(output), before, after)
	dir := t.TempDir()
	for name, b := range copied {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := passwordOf(t, filepath.Join(dir, "ingot.db"), old[0], "before"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("the old key opens the copy: %v", err)
	}
	for name, want := range map[string]string{"before": password.value, "after": later.value} {
		if got, err := passwordOf(t, filepath.Join(dir, "ingot.db"), filepath.Join(data, "ingot.key"), name); err != nil || got != want {
			t.Errorf("the password of %s: %v", name, err)
		}
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
	unseenKeys(t, "the log", []byte(r.log.String()), before, after)
	wrongKeyAtStart(t, r.dir, old[0], id)
	r = serving(t, r.dir)
	holds(t, "the server that was started again", string(r.call(t, "GET", "/v1/nodes/detail", nil, 200)), "before", "after")
}

// unseenKeys looks for keys in their forms.
func unseenKeys(t *testing.T, where string, b []byte, keys ...[]byte) {
	t.Helper()
	for i, k := range keys {
		for _, form := range []string{string(k), hex.EncodeToString(k), base64.StdEncoding.EncodeToString(k)} {
			if bytes.Contains(b, []byte(form)) {
				t.Errorf("%s shows key number %d", where, i+1)
			}
		}
	}
}

// wrongKeyAtStart: a server that is given the wrong key does not start, and says which one it needs and where to get it.
func wrongKeyAtStart(t *testing.T, dir, keyFile, needs string) {
	t.Helper()
	r := begin(t, dir, nil, "serve", "--key-file", keyFile, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--boot-listen", "127.0.0.1:0")
	<-r.ended
	if code := r.cmd.ProcessState.ExitCode(); code == 0 || code == -1 {
		t.Errorf("with the wrong key it ended with %d", code)
	}
	holds(t, "what it said", r.log.String(), "opens with the key "+needs, "give the key "+needs, keyFile)
}

// TestKeysRotateIsResumed kills the rotation in every single commit, as kill -9 does, and runs it again: nothing is lost, and it
// ends as if it had not been killed.
func TestKeysRotateIsResumed(t *testing.T) {
	fresh, nodes := t.TempDir(), 150 // more than a batch
	key, err := store.LoadKey(filepath.Join(fresh, "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(fresh, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		for i := range nodes {
			n := &metal.Node{UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), ProvisionState: metal.Enroll, DriverInfo: secret.NewMap(map[string]any{"redfish_password": fmt.Sprint("p", i)})}
			if err := tx.CreateNode(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	files := copyOf(t, fresh, "ingot.")
	rotate := func(dir string, env ...string) ([]byte, error) {
		cmd := exec.Command("ingot", "keys", "rotate", "--data", dir)
		cmd.Env = append(os.Environ(), env...)
		return cmd.CombinedOutput()
	}
	for n := 1; ; n++ {
		dir := t.TempDir()
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, died := rotate(dir, dieEnv+"="+strconv.Itoa(n))
		if died != nil {
			var exit *exec.ExitError
			if !errors.As(died, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("commit %d: it ended with %v", n, died)
			}
			if out, err := rotate(dir); err != nil {
				t.Fatalf("after a death in commit %d: %v\n%s", n, err, out)
			}
		}
		for _, i := range []int{0, 99, nodes - 1} {
			got, err := passwordOf(t, filepath.Join(dir, "ingot.db"), filepath.Join(dir, "ingot.key"), fmt.Sprintf("%08d-0000-4000-8000-000000000000", i))
			if err != nil || got != fmt.Sprint("p", i) {
				t.Fatalf("after a death in commit %d: the password of node %d: %v", n, i, err)
			}
		}
		out, err := ingot(t, "keys", "show", "--data", dir)
		if err != nil || strings.Contains(out, "under way") || strings.Count(out, "retired") != 1 || strings.Count(out, "current") != 1 {
			t.Fatalf("after a death in commit %d: %v\n%s", n, err, out)
		}
		if died == nil {
			t.Logf("it has %d commits", n-1)
			return
		}
	}
}

// TestKeysRotateInACluster: two servers share a database and have copies of the key file. The rotation waits for the second
// to be given the new one, which it takes while it runs.
func TestKeysRotateInACluster(t *testing.T) {
	database, one, two := pgtest.Empty(t), t.TempDir(), t.TempDir()
	first := serving(t, one, "--database", database)
	password := plant("password")
	first.call(t, "POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "n", "driver_info": map[string]any{"redfish_password": password.value}}, 201)
	keyFile := func(dir string) string { return filepath.Join(dir, "ingot-data", "ingot.key") }
	give := func() {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(two, "ingot-data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(keyFile(two)+".part", keyBytes(t, keyFile(one)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(keyFile(two)+".part", keyFile(two)); err != nil {
			t.Fatal(err)
		}
	}
	give()
	t.Setenv("INGOT_DEFAULT__HOST", "second")
	second := serving(t, two, "--database", database)
	os.Unsetenv("INGOT_DEFAULT__HOST")
	before := keyBytes(t, keyFile(one))

	out, err := first.command("keys", "rotate", "--database", database, "--wait", "6s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "retired") || !strings.Contains(string(out), "second") || !strings.Contains(string(out), "Copy the new key file") {
		t.Fatalf("before the second server has the new key: %v\n%s", err, out)
	}
	holds(t, "the second server", string(second.call(t, "GET", "/v1/nodes/n", nil, 200)), `"redfish_password":"******"`)
	second.call(t, "PATCH", "/v1/nodes/n", []any{map[string]any{"op": "add", "path": "/driver_info/redfish_username", "value": "u"}}, 200)
	give()
	if bytes.Equal(before, keyBytes(t, keyFile(two))) {
		t.Fatal("the key is the same")
	}
	holds(t, "the end of the rotation", first.ingot(t, "keys", "rotate", "--database", database), "opens with the key")
	shown := first.ingot(t, "keys", "show", "--database", database)
	if strings.Contains(shown, "under way") || strings.Count(shown, "retired") != 1 {
		t.Errorf("afterwards:\n%s", shown)
	}
	for _, r := range []*running{first, second} {
		holds(t, "a server", string(r.call(t, "GET", "/v1/nodes/n", nil, 200)), `"redfish_username":"u"`)
	}
}

// TestKeyInTheEnvironment: the key may come in a variable; the process does not show it in its environment, and what it
// starts does not inherit it.
func TestKeyInTheEnvironment(t *testing.T) {
	raw := bytes.Repeat([]byte{0xa7, 0x31}, 16)
	text := hex.EncodeToString(raw)
	t.Setenv(keyVariable, text)
	r := serving(t, t.TempDir())
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", r.cmd.Process.Pid))
	switch {
	case errors.Is(err, os.ErrPermission): // who is not root may not even look
	case err != nil:
		t.Fatal(err)
	case bytes.Contains(environ, []byte(text)) || !bytes.Contains(environ, []byte("PATH=")):
		t.Errorf("the environment shows the key: %v", bytes.Contains(environ, []byte(text)))
	}
	if _, err := os.Stat(filepath.Join(r.dir, "ingot-data", "ingot.key")); err == nil {
		t.Error("a key file was made beside the variable")
	}
	for name, b := range copyOf(t, filepath.Join(r.dir, "ingot-data"), "") {
		unseenKeys(t, name, b, raw)
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
	unseenKeys(t, "the log", []byte(r.log.String()), raw)
	refusedIngot(t, "--new-key-file cannot be used: the key in use comes from the variable "+keyVariable, "keys", "rotate", "--data", filepath.Join(r.dir, "ingot-data"), "--new-key-file", "x")
	t.Setenv(keyVariable, text) // which the command took away
	t.Setenv(newKeyVariable, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x5c}, 32)))
	holds(t, "keys rotate", r.ingot(t, "keys", "rotate"), "Start every server with the new key in "+keyVariable)
	again := begin(t, r.dir, nil, "serve", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--boot-listen", "127.0.0.1:0")
	<-again.ended
	holds(t, "with the old key", again.log.String(), "this database opens with the key", "the variable "+keyVariable)
	os.Setenv(keyVariable, os.Getenv(newKeyVariable))
	serving(t, r.dir)
	t.Setenv(keyVariable, "no key")
	refusedIngot(t, "the variable "+keyVariable+" holds no key", "keys", "rotate", "--data", filepath.Join(r.dir, "ingot-data"))
}

// TestKeyCommand: a program unwraps the key, as a key management service's client does. What is wrong with one is said, and what
// it wrote is not.
func TestKeyCommand(t *testing.T) {
	dir := t.TempDir()
	wrapped := func(name string, b byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("INGOT_DATABASE__KEY_COMMAND", "base64,-d")
	t.Setenv("INGOT_DATABASE__WRAPPED_KEY_FILE", wrapped("one", 'K'))
	r := serving(t, dir)
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n"}, 201)
	out, err := r.command("keys", "rotate", "--new-wrapped-key", wrapped("two", 'L'), "--wait", "5s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Put the new wrapped key into the place of") {
		t.Fatalf("rotate: %v\n%s", err, out)
	}
	if err := os.Rename(wrapped("part", 'L'), filepath.Join(dir, "one")); err != nil {
		t.Fatal(err)
	}
	holds(t, "the rest", r.ingot(t, "keys", "rotate"), "opens with the key")
	holds(t, "the node", string(r.call(t, "GET", "/v1/nodes/n", nil, 200)), `"name":"n"`)
	if code := r.stop(t); code != 0 {
		t.Errorf("ended with %d", code)
	}

	for _, c := range []struct{ command, says string }{
		{"false", "exit status 1"},
		{"sh,-c,echo what is wrong >&2; exit 3", `it said: "what is wrong"`},
		{"cat,/dev/zero", "wrote more than"},
		{"sleep,100", "did not answer within 1s"},
		{"echo,canary-wrong", "holds no key"},
		{"true", "holds no key"},
		{"/nonexistent/program", "no such file"},
	} {
		t.Setenv("INGOT_DATABASE__KEY_COMMAND", c.command)
		t.Setenv("INGOT_DATABASE__KEY_COMMAND_TIMEOUT", "1")
		out, err := ingot(t, "keys", "rotate", "--data", filepath.Join(dir, "ingot-data"))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(out+err.Error(), "canary-wrong") && c.command != "echo,canary-wrong" {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
		if err != nil && strings.Contains(strings.ReplaceAll(err.Error(), c.command, ""), "canary-wrong") {
			t.Errorf("%s: what it wrote is shown: %v", c.command, err)
		}
	}
	refusedIngot(t, "the key is given twice", "keys", "rotate", "--key-file", "x", "--data", dir)
}

// TestNoCore: a server that is made to die with a core leaves none, however much its limit would allow; nor does a command.
func TestNoCore(t *testing.T) {
	dir := t.TempDir()
	dies := func(wait func(*exec.Cmd), script string) syscall.WaitStatus {
		t.Helper()
		cmd := exec.Command("sh", "-c", "ulimit -c unlimited || exit 99; "+script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOTRACEBACK=crash")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait(cmd)
		_ = cmd.Wait() // how it ended is what is asked
		return cmd.ProcessState.Sys().(syscall.WaitStatus)
	}
	control := dies(func(*exec.Cmd) {}, "kill -ABRT $$")
	switch {
	case control.ExitStatus() == 99:
		t.Skip("the limit of cores cannot be raised here")
	case !control.CoreDump():
		t.Log("this system dumps no cores of other programs either: the limit alone is looked at")
	}
	at, err := free()
	if err != nil {
		t.Fatal(err)
	}
	status := dies(func(cmd *exec.Cmd) {
		if err := answering("http://" + at); err != nil {
			t.Error(err)
		}
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
		if err == nil && !slices.ContainsFunc(strings.Split(string(limits), "\n"), func(l string) bool {
			f := strings.Fields(l)
			return len(f) > 5 && f[1] == "core" && f[4] == "0" && f[5] == "0"
		}) {
			t.Errorf("its limits:\n%s", limits)
		}
		_ = cmd.Process.Signal(syscall.SIGABRT)
	}, "exec ingot serve --listen "+at+" --agent-listen 127.0.0.1:0 --boot-listen 127.0.0.1:0")
	if !status.Signaled() || status.Signal() != syscall.SIGABRT || status.CoreDump() {
		t.Errorf("the server ended with %v, core %v", status, status.CoreDump())
	}
	cores, err := filepath.Glob(filepath.Join(dir, "core*"))
	if err != nil || len(cores) > 0 && !control.CoreDump() {
		t.Errorf("cores %v, %v", cores, err)
	}
}
