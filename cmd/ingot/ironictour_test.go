package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The identifiers that the tour gives, so that each command can name what an earlier one made.
const (
	tourNode   = "11111111-0000-4000-8000-000000000001"
	tourSpare  = "11111111-0000-4000-8000-000000000002"
	tourPort   = "22222222-0000-4000-8000-000000000001"
	tourChass  = "44444444-0000-4000-8000-000000000001"
	tourConn   = "55555555-0000-4000-8000-000000000001"
	tourTarget = "66666666-0000-4000-8000-000000000001"
	tourVIF    = "77777777-0000-4000-8000-000000000001"
)

// tour is every command of Debian's client, in an order in which each finds what it needs. What follows an arrow is in
// its output; see session. A line "until NODE STATE" waits for it: the client's own --wait looks every ten seconds, and
// TestDebiansIronicClient shows it.
const tour = `
	chassis create --uuid ` + tourChass + ` --description row-1 --extra a=b -> row-1
	chassis list -> row-1
	chassis set ` + tourChass + ` --description row-2
	chassis unset ` + tourChass + ` --extra a
	chassis show ` + tourChass + ` -f json -> "description": "row-2" -> "extra": {}
	node create --driver fake-hardware --name spare --uuid ` + tourSpare + ` --chassis-uuid ` + tourChass + ` -> enroll
	node create --driver fake-hardware --name tourist --uuid ` + tourNode + ` --resource-class small --network-interface noop --rescue-interface fake --raid-interface fake --bios-interface fake --console-interface fake --vendor-interface fake -> enroll
	node list --fields uuid name driver resource_class --sort name:desc -> tourist -> spare
	node list --long --provision-state enroll --resource-class small -> tourist
	node list --chassis ` + tourChass + ` -> spare
	node set tourist --property memory_mb=1024 --extra a=b --description spare --driver-info fake_password=canary --owner team-a --lessee team-b --retired --retired-reason old
	node show tourist --fields owner retired retired_reason -f json -> "owner": "team-a" -> "retired": true
	node unset tourist --extra a --retired-reason --lessee
	node unset tourist --retired
	node show tourist -f json -c driver_info -c extra -c properties -> "fake_password": "******" -> "extra": {} -> "memory_mb": 1024
	node validate tourist -> power -> True
	node add trait tourist CUSTOM_A CUSTOM_B -> CUSTOM_A
	node trait list tourist -> CUSTOM_A -> CUSTOM_B
	node remove trait tourist CUSTOM_B
	node maintenance set tourist --reason fans
	node maintenance unset tourist
	port group create --node ` + tourNode + ` --name bond0 --mode 802.3ad --property miimon=100 --unsupport-standalone-ports -> bond0
	port group list --node tourist -> bond0
	port group set bond0 --extra a=b --mode active-backup
	port group unset bond0 --extra a
	port group show bond0 -f json -> "mode": "active-backup" -> "standalone_ports_supported": false
	port create 52:54:00:11:22:33 --node ` + tourNode + ` --uuid ` + tourPort + ` --local-link-connection switch_id=0a:1b:2c:3d:4e:5f --local-link-connection port_id=Eth1 --pxe-enabled true --physical-network rack1 -> 52:54:00:11:22:33
	port list --node tourist --long -> Eth1
	port set ` + tourPort + ` --extra a=b --physical-network rack2
	port unset ` + tourPort + ` --extra a
	port show ` + tourPort + ` -f json -> "physical_network": "rack2"
	volume connector create --node ` + tourNode + ` --type iqn --connector-id iqn.2026-11.org.example:a --uuid ` + tourConn + ` -> iqn
	volume connector list --node tourist -> iqn.2026-11.org.example:a
	volume target create --node ` + tourNode + ` --type iscsi --volume-id vol-1 --boot-index 0 --property auth_password=canary --uuid ` + tourTarget + ` -> vol-1
	volume target list --node tourist --long -> vol-1
	node manage tourist
	until tourist manageable
	node power off tourist
	until tourist manageable
	node boot device set tourist pxe --persistent
	node boot device show tourist -> pxe -> True
	node boot device show tourist --supported -> disk
	volume connector set ` + tourConn + ` --extra a=b
	volume connector unset ` + tourConn + ` --extra a
	volume connector show ` + tourConn + ` -f json -> "type": "iqn"
	volume connector delete ` + tourConn + `
	volume target set ` + tourTarget + ` --extra a=b
	volume target unset ` + tourTarget + ` --extra a
	volume target show ` + tourTarget + ` -f json -> "auth_password": "******"
	volume target delete ` + tourTarget + `
	node inspect tourist
	until tourist manageable
	node set tourist --target-raid-config RAIDFILE
	node show tourist -f json -c target_raid_config -> "raid_level": "1"
	node unset tourist --target-raid-config
	node clean tourist --clean-steps STEPSFILE
	until tourist manageable
	node bios setting list tourist -> virtualization
	node bios setting show tourist virtualization -> on
	node console enable tourist
	node console show tourist -> console_enabled
	node console disable tourist
	node inject nmi tourist -> (HTTP 400)
	node passthru list tourist -> third_method_sync
	node passthru call tourist second_method --http-method POST --arg bar=kazoo
	node vif list tourist
	node vif attach tourist ` + tourVIF + `
	node vif detach tourist ` + tourVIF + `
	port delete ` + tourPort + `
	port group delete bond0
	deploy template create CUSTOM_A --steps DEPLOYFILE -> CUSTOM_A
	deploy template list --long -> CUSTOM_A
	deploy template set CUSTOM_A --extra a=b
	deploy template unset CUSTOM_A --extra a
	deploy template show CUSTOM_A -f json -> "name": "CUSTOM_A"
	deploy template delete CUSTOM_A
	node provide tourist
	until tourist available
	allocation create --resource-class small --name web --trait CUSTOM_A --candidate-node tourist --extra a=b --wait -> active
	allocation list --state active -> web
	allocation set web --extra c=d
	allocation unset web --extra a
	allocation show web -f json -> "candidate_nodes": -> "node_uuid": "` + tourNode + `"
	node deploy tourist
	until tourist active
	node boot mode set tourist uefi
	until tourist active
	node secure boot on tourist
	until tourist active
	node secure boot off tourist
	until tourist active
	node reboot tourist --soft
	until tourist active
	node history list tourist -> The node was enrolled.
	node rescue tourist --rescue-password secret
	until tourist rescue
	node unrescue tourist
	until tourist active
	node rebuild tourist
	until tourist active
	node power on tourist
	until tourist active
	node undeploy tourist
	until tourist available
	allocation delete web -> could not be found. (HTTP 404)
	node manage tourist
	until tourist manageable
	node set tourist --instance-info image_source=http://images.example/web.raw
	node adopt tourist
	until tourist active
	driver list --long -> fake-hardware
	driver show fake-hardware -f json -> "name": "fake-hardware"
	driver property list redfish -> redfish_address
	driver raid property list fake-hardware -> raid_level
	driver passthru list fake-hardware -> Name
	conductor list --long -> fake-hardware
	create RESOURCES
	node show from-file -> enroll
	node delete spare from-file -> Deleted node spare -> Deleted node from-file
	chassis delete ` + tourChass + ` -> Deleted chassis
`

// elsewhere are the commands that are shown in another place, or are no part of the API.
var elsewhere = map[string]string{
	"complete":             "prints a completion for shells",
	"help":                 "prints its own help",
	"conductor show":       "needs the host's name: below",
	"node history get":     "needs an event's UUID: below",
	"driver passthru call": "below: its refusal",
	"node abort":           "TestDebiansIronicClient",
}

// TestDebiansTour: every command that Debian's client has is in the tour, in TestDebiansIronicClient or in
// notToured, and the server answers each as the client expects.
func TestDebiansTour(t *testing.T) {
	if _, err := exec.LookPath("baremetal"); err != nil {
		t.Skip("the command baremetal is not installed; Debian has it in python3-ironicclient")
	}
	r := serving(t, t.TempDir())
	dir := t.TempDir()
	files := map[string]string{
		"RAIDFILE":   `{"logical_disks": [{"size_gb": 100, "raid_level": "1"}]}`,
		"STEPSFILE":  `[{"interface": "bios", "step": "apply_configuration", "args": {"settings": [{"name": "virtualization", "value": "on"}]}}]`,
		"DEPLOYFILE": `[{"interface": "bios", "step": "factory_reset", "args": {}, "priority": 90}]`,
		"RESOURCES":  `{"chassis": [{"description": "row-9"}], "nodes": [{"name": "from-file", "driver": "fake-hardware", "ports": [{"address": "52:54:00:11:22:44"}]}]}`,
	}
	replace := []string{}
	for name, content := range files {
		path := filepath.Join(dir, strings.ToLower(name)+".json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		replace = append(replace, name, path)
	}
	script := strings.NewReplacer(replace...).Replace(tour)
	covered(t, r, script)
	var part []string
	for line := range strings.Lines(script) {
		wait, isWait := strings.CutPrefix(strings.TrimSpace(line), "until ")
		if !isWait {
			part = append(part, strings.TrimSpace(line))
			continue
		}
		session(t, r, strings.Join(part, "\n"))
		part = nil
		node, state, _ := strings.Cut(wait, " ")
		r.settled(t, node, state)
	}
	session(t, r, strings.Join(part, "\n"))
	var hosts struct{ Conductors []struct{ Hostname string } }
	var events struct{ History []struct{ UUID string } }
	for path, into := range map[string]any{"/v1/conductors": &hosts, "/v1/nodes/tourist/history": &events} {
		if err := json.Unmarshal(r.call(t, "GET", path, nil, 200), into); err != nil {
			t.Fatal(err)
		}
	}
	host, event := hosts.Conductors[0].Hostname, events.History[0].UUID
	session(t, r, `
		conductor show `+host+` -> fake-hardware
		node history get tourist `+event+` -> The node was enrolled.
		driver passthru call fake-hardware nothing -> (HTTP 400)`)
}

// covered holds the tour against the client's own list of commands.
func covered(t *testing.T, r *running, script string) {
	t.Helper()
	out, err := r.baremetal("help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(out), "Commands:\n")
	n := 0
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if name == "" {
			continue
		}
		if n++; !strings.Contains(script, "\t"+name+" ") && elsewhere[name] == "" {
			t.Errorf("the tour leaves out: baremetal %s", name)
		}
	}
	if n < 90 {
		t.Errorf("the client tells of %d commands only:\n%s", n, out)
	}
}

// settled waits until a node is in a state and nothing is under way.
func (r *running) settled(t *testing.T, node, state string) {
	t.Helper()
	r.until(t, node, state)
	r.untilField(t, node, "target_power_state", nil)
	r.untilField(t, node, "target_provision_state", nil)
	r.untilField(t, node, "reservation", nil)
}
