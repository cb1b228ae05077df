package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// birdCreate is a trusted script that does its worst with what it was given: it prints it, packs it, traces itself, and says it as
// progress. The last word decides whether it fails.
const birdCreate = `#!/bin/bash
root=${DISK_0_PATH%/dev/*}
printf '%s\n' "token $OSP_TOKEN" "key $OSP_ROOT_KEY" "licence $OSP_LICENCE"
printf '%s' "$OSP_TOKEN" | base64
printf '%s' "$OSP_ROOT_KEY" | base64 -w0
printf '%s' "$OSP_ROOT_KEY" | od -An -tx1 | tr -d ' \n'
set -x
: "$OSP_ROOT_KEY" "--password=$OSP_TOKEN"
set +x
env >&2
printf '%s|%s|%s' "$OSP_TOKEN" "$OSP_ROOT_KEY" "$OSP_LICENCE" > "$root/installed-with"
if [ -s "$root/run/channel-host" ]; then
	at=$(cat "$root/run/channel-host")
	exec 3<>"/dev/tcp/${at%:*}/${at#*:}"
	said="{\"stage\": \"unpack\", \"percent\": 40, \"message\": \"with $OSP_ROOT_KEY\"}"
	printf 'POST /ganeti/latest/write HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' "${#said}" "$said" >&3
	cat <&3
fi
[ "$OSP_MIRROR" != fails ]
`

// installs has the machine rebuilt by OS definition, with canaries in all classes and in the credentials of its package: by the documented
// commands in a real shell with a history, first with scripts that fail, then with a package that is refused, then well.
func (g *aviary) installs() {
	g.t.Helper()
	g.call("PUT", "/v1/nodes/real/maintenance", object{"reason": witness}, 202)
	g.call("PATCH", "/v1/nodes/real", []any{object{"op": "replace", "path": "/deploy_interface", "value": "os-install"}}, 200)
	g.call("DELETE", "/v1/nodes/real/maintenance", nil, 202)
	refusing := g.packages()
	bundle := scripted(g.t, birdCreate, map[string]string{"verify": "#!/bin/sh\nenv\n", "export": birdExport, "import": birdImport, "rename": birdRename})
	g.call("POST", "/v1/os_definitions", object{"name": "bird", "description": witness, "bundle": packedBundle(bundle), "os_parameters_private": object{"licence": g.plantOdd("private default of an installation")}}, 201)
	g.call("PUT", "/v1/os_definitions/bird/trust", object{"digest": bundle.Digest()}, 200)
	dir := g.t.TempDir()
	for name, what := range map[string]string{"token.txt": "private OS parameter", "root.pw": "secret OS parameter", "site.pw": "password for a personalization package"} {
		value := g.plantOdd(what)
		if name == "root.pw" {
			value = g.plant(what) // a script can put it into JSON
		}
		g.write(filepath.Join(dir, name), value+"\n")
	}
	g.write(filepath.Join(dir, "boss.pw"), g.planted["password of boss"].value+"\n")
	const rebuild = "ingot node rebuild real --os bird+12 --os-parameter mirror=%s --os-private token=token.txt --os-secret root-key=%s --wait; echo ended with $?"
	out, history := g.shell(dir, fmt.Sprintf(rebuild, "fails", "root.pw"), "ingot node why real", "ingot node show real", "ingot node logs real --name os-install")
	holds(g.t, "the shell", out, "ended with 4", "ended with code 1", "Secret parameters, which a rebuild needs again: root-key.", "Installed by OS definition bird+12")
	holds(g.t, "the shell's history", history, "--os-secret root-key=root.pw", "--os-private token=token.txt")
	g.everybody("an installation has failed")
	if status, answer := g.ask("boss", "PUT", "/v1/nodes/real/states/provision", object{"target": "rebuild"}); status != http.StatusBadRequest || !strings.Contains(string(answer), "root-key") {
		g.t.Errorf("a rebuild without its secret is answered %d %s", status, answer)
	}
	out, _ = g.shell(dir, fmt.Sprintf(rebuild, "works", "- < root.pw"), "ingot os show bird")
	holds(g.t, "the shell", out, "node real is active", "ended with 0", "- real")
	with, err := os.ReadFile(filepath.Join(g.machine.root, "installed-with"))
	if want := strings.Join([]string{g.value("private OS parameter"), g.value("secret OS parameter"), g.value("private default of an installation")}, "|"); err != nil || string(with) != want {
		g.t.Errorf("the script had %q, %v; want %q", with, err, want)
	}
	if g.short {
		return
	}
	out, history = g.shell(dir, "ingot node rebuild real --os-secret root-key=fd:7 --package "+refusing+"/p.tar.gz --package-user "+witness+" --package-password-file site.pw --wait 7<root.pw; echo ended with $?")
	holds(g.t, "the shell", out, "ended with 4", "package", "--package-password-file FILE")
	holds(g.t, "the shell's history", history, "--package-password-file site.pw")
	g.mu.Lock()
	if !slices.Contains(g.tried, witness+" "+g.planted["password for a personalization package"].value) {
		g.t.Errorf("the package was asked for %d times, and not with its credentials", len(g.tried))
	}
	g.mu.Unlock()
	g.everybody("a package was refused")
	out, _ = g.shell(dir, strings.Replace(fmt.Sprintf(rebuild, "works", "root.pw"), " --wait", " --no-package --wait", 1))
	holds(g.t, "the shell", out, "ended with 0")
	g.exports(dir)
}

// packages is a server that refuses every package, and repeats what came with the question.
func (g *aviary) packages() string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		g.mu.Lock()
		g.tried = append(g.tried, user+" "+password)
		g.mu.Unlock()
		w.Header().Set("WWW-Authenticate", "Basic realm="+base64.StdEncoding.EncodeToString([]byte(password)))
		http.Error(w, fmt.Sprint("refused: ", r.Header, user, password), http.StatusUnauthorized)
	}))
	g.t.Cleanup(s.Close)
	return s.URL
}

// shell types commands into a bash that keeps a history, and looks at what everybody on its host sees meanwhile.
func (g *aviary) shell(dir string, commands ...string) (out, history string) {
	g.t.Helper()
	file := filepath.Join(dir, "history")
	c := exec.Command("bash", "--norc", "--noprofile", "-i")
	c.Dir, c.Stdin = dir, strings.NewReader("set -o history\n"+strings.Join(commands, "\n")+"\nexit\n")
	c.Env = append(os.Environ(), "HISTFILE="+file, "HISTSIZE=1000", "INGOT_ENDPOINT="+g.r.url, "INGOT_USER=boss", "INGOT_PASSWORD_FILE=boss.pw", "TERM=dumb")
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	watch := looking(g, c.Process.Pid)
	err := c.Wait()
	watch.end()
	g.clean("what a shell printed", said.Bytes())
	typed, missing := os.ReadFile(file)
	if err != nil || missing != nil || !watch.kids["ingot"] {
		g.t.Errorf("the shell: %v, %v; it had the children %v\n%s", err, missing, watch.kids, said.String())
	}
	g.clean("the shell's history", typed)
	return said.String(), string(typed)
}
