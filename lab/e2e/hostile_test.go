package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/confine/confinetest"
	"ingot/internal/metal"
	"ingot/lab"
)

// hostileScript tries what confinetest knows, leaves on its disk what became of it, and never ends: it forks, fills memory and ignores
// signals. It finds no other disk by its number in the lab's machine but the boot CD, which has the token.
const hostileScript = `#!/bin/sh
export TRY_OWN_DISK="$DISK_0_PATH" TRY_OTHER_DISK=/dev/sr0 TRY_OTHER_NUMBER=11:0 TRY_TOKEN_FILE=/run/ingot/boot.json
export TRY_LISTENER=127.0.0.1:9999 TRY_ABSTRACT=@none TRY_SOCKET_FILE=/run/systemd/private TRY_SHARED_KEY=4711 TRY_PROCESS=9999
export TRY_CHANNEL_TEXT=uuid TRY_SPARE=yes
untrusted/attacks >/tmp/said 2>&1
dd if=/tmp/said of="$DISK_0_PATH" bs=1M seek=8 conv=fsync 2>/dev/null
curl -s -d '{"stage":"attack","percent":50,"message":"all was tried"}' http://169.254.169.254/ganeti/latest/write
echo "all was tried"
trap '' TERM INT HUP
f() { f | f & }
cat /dev/zero >/tmp/zero
rm /tmp/zero
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &
sleep 5
exec 2>/dev/null
# A shell ends when it cannot fork. This one forks before the others do, so that time alone ends it.
sleep 1000 &
( f ) &
wait
`

// TestREQ14AHostileDefinitionIsContained deploys a machine with an untrusted definition that attacks it: nothing is reached, the agent
// outlives it, all of it is killed when the time is over, and the deployment has failed with what the script last said.
func TestREQ14AHostileDefinitionIsContained(t *testing.T) {
	labOnly(t)
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.MemoryMiB, c.Program = "hostile", t.TempDir(), 1, rescueMemory, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix("198.18.86.0/24")
	l := upLab(t, c)
	m := l.Machines[0]
	s := serve(t, l.HostAddress.String(), "deploy.erase_devices_priority=0", "os_install.timeout=4m", "os_install.startup_timeout=12m")
	buildDebian(t, s)
	s.start()
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	n := s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks, "deploy_interface": "os-install",
		"automated_clean": false, "properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	if _, err := s.CreatePort(t.Context(), map[string]any{"node_uuid": n.uuid(), "address": m.MACs[0]}); err != nil {
		t.Fatal(err)
	}
	s.ingot("os", "add", hostileDefinition(t), "--name", "hostile")
	n.available(later)
	s.ingot("node", "deploy", n.name, "--os", "hostile")
	lastError := n.rests(metal.DeployFailed, 2*later)
	t.Log(lastError)
	// A machine that is full of forks may be too late to tell it by itself, and is switched off.
	byAgent, byServer := contains(lastError, "longer than", "all was tried"), contains(lastError, "time is over", `stage "attack"`, "switched off")
	if !byAgent && !byServer {
		t.Errorf("last_error does not say that its time was over, and what it said: %s", lastError)
	}
	if now, err := n.States(t.Context(), n.name); err != nil || now.PowerState != metal.PowerOff {
		t.Errorf("the machine is %+v %v", now, err)
	}
	disk, err := os.Open(m.DiskPath)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	said := make([]byte, mib)
	if _, err := disk.ReadAt(said, 8*mib); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimRight(string(said), "\x00")
	t.Logf("what was tried:\n%s", text)
	for _, wrong := range confinetest.Judge(text, false) {
		t.Error(wrong)
	}
}

// hostileDefinition is a folder with the definition.
func hostileDefinition(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	static(t, "ingot/agent/confine/testdata/attacks", filepath.Join(dir, "untrusted/attacks"))
	for name, content := range map[string]string{"ganeti_api_version": "20\n", "parameters.list": "", "verify": "#!/bin/sh\n", "untrusted/create": hostileScript,
		"untrusted/export": "#!/bin/sh\n", "untrusted/import": "#!/bin/sh\n", "untrusted/rename": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
