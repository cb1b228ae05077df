package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/httpbasic"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/conductors"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"golang.org/x/crypto/bcrypt"
)

// cloud is gophercloud, unmodified, as a client of a running server. Its calls must succeed unless a test says
// otherwise.
type cloud struct {
	t *testing.T
	c *gophercloud.ServiceClient
}

// ok ends the test at a call that failed.
func (g cloud) ok(what string, err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%s: %v", what, err)
	}
}

// refused wants a status.
func (g cloud) refused(what string, err error, status int) {
	g.t.Helper()
	if !gophercloud.ResponseCodeIs(err, status) {
		g.t.Errorf("%s: %v, want status %d", what, err, status)
	}
}

// TestGophercloud is the tour of a client that baremetal-operator and others are built on: as nobody in particular, and as
// a user with a password.
func TestGophercloud(t *testing.T) {
	t.Run("noauth", func(t *testing.T) {
		r := serving(t, t.TempDir())
		c, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: r.url + "/v1/"})
		if err != nil {
			t.Fatal(err)
		}
		cloud{t, c}.tour()
	})
	t.Run("http_basic", func(t *testing.T) {
		hash, err := bcrypt.GenerateFromPassword([]byte("a password"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		users, conf := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "ingot.conf")
		for path, text := range map[string]string{users: "gopher:" + string(hash) + "\n",
			conf: "[DEFAULT]\nauth_strategy = http_basic\nhttp_basic_auth_user_file = " + users + "\n"} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := serving(t, dir, "--config", conf)
		for password, allowed := range map[string]bool{"a password": true, "another": false} {
			c, err := httpbasic.NewBareMetalHTTPBasic(httpbasic.EndpointOpts{IronicEndpoint: r.url + "/v1/", IronicUser: "gopher", IronicUserPassword: password})
			if err != nil {
				t.Fatal(err)
			}
			g := cloud{t, c}
			if allowed {
				g.tour()
				continue
			}
			_, err = nodes.List(g.c, nodes.ListOpts{}).AllPages(t.Context())
			g.refused("a wrong password", err, http.StatusUnauthorized)
		}
	})
}

func (g cloud) tour() {
	ctx := g.t.Context()
	g.c.Microversion = "1.99"
	g.discovers(ctx)
	n := g.enrols(ctx)
	g.wires(ctx, n.UUID)
	g.moves(ctx, n.UUID)
	g.configures(ctx, n.UUID)
	g.operates(ctx, n.UUID)
	g.allocates(ctx, n.UUID)
	g.ok("delete", nodes.Delete(ctx, g.c, n.UUID).ExtractErr())
	g.refused("get of what was deleted", nodes.Get(ctx, g.c, n.UUID).Err, http.StatusNotFound)
}

func (g cloud) discovers(ctx context.Context) {
	g.t.Helper()
	root := *g.c
	root.Endpoint = strings.TrimSuffix(root.Endpoint, "v1/")
	v, err := apiversions.Get(ctx, &root, "v1").Extract()
	g.ok("api version", err)
	if v.ID != "v1" || v.MinVersion != "1.1" || v.Version == "" {
		g.t.Errorf("api version %+v", v)
	}
	page, err := drivers.ListDrivers(g.c, drivers.ListDriversOpts{Detail: true}).AllPages(ctx)
	g.ok("drivers", err)
	all, err := drivers.ExtractDrivers(page)
	g.ok("drivers", err)
	if !slices.ContainsFunc(all, func(d drivers.Driver) bool {
		return d.Name == "fake-hardware" && len(d.Hosts) == 1 && slices.Contains(d.EnabledDeployInterfaces, "fake")
	}) {
		g.t.Errorf("drivers %+v", all)
	}
	d, err := drivers.GetDriverDetails(ctx, g.c, "redfish").Extract()
	g.ok("driver redfish", err)
	p, err := drivers.GetDriverProperties(ctx, g.c, "redfish").Extract()
	g.ok("properties of redfish", err)
	if d.Type != "dynamic" || (*p)["redfish_address"] == "" {
		g.t.Errorf("redfish %+v %v", d, p)
	}
	page, err = conductors.List(g.c, conductors.ListOpts{Fields: []string{"hostname", "alive", "drivers"}}).AllPages(ctx)
	g.ok("conductors", err)
	hosts, err := conductors.ExtractConductors(page)
	g.ok("conductors", err)
	if len(hosts) != 1 || !hosts[0].Alive || !slices.Contains(hosts[0].Drivers, "fake-hardware") {
		g.t.Fatalf("conductors %+v", hosts)
	}
	one, err := conductors.Get(ctx, g.c, hosts[0].Hostname).Extract()
	g.ok("conductor", err)
	if one.Hostname != hosts[0].Hostname || one.CreatedAt.IsZero() {
		g.t.Errorf("conductor %+v", one)
	}
}

func (g cloud) enrols(ctx context.Context) *nodes.Node {
	g.t.Helper()
	off := false
	n, err := nodes.Create(ctx, g.c, nodes.CreateOpts{Driver: "fake-hardware", Name: "gopher-1", ResourceClass: "small", AutomatedClean: &off,
		DriverInfo: map[string]any{"fake_password": "canary"}, Properties: map[string]any{"cpu_arch": "x86_64"}, Owner: "team-a"}).Extract()
	g.ok("create", err)
	if n.ProvisionState != string(nodes.Enroll) || n.Owner != "team-a" || n.DriverInfo["fake_password"] != "******" || n.CreatedAt.IsZero() {
		g.t.Errorf("created %+v", n)
	}
	g.refused("create a second of the name", nodes.Create(ctx, g.c, nodes.CreateOpts{Driver: "fake-hardware", Name: "gopher-1"}).Err, http.StatusConflict)
	n, err = nodes.Update(ctx, g.c, n.UUID, nodes.UpdateOpts{
		nodes.UpdateOperation{Op: nodes.AddOp, Path: "/extra/rack", Value: "r1"},
		nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/description", Value: "spare"},
	}).Extract()
	g.ok("update", err)
	if n.Extra["rack"] != "r1" || n.Description != "spare" {
		g.t.Errorf("updated %+v", n)
	}
	for what, opts := range map[string]nodes.ListOpts{"all": {Limit: 1}, "some fields": {Fields: []string{"uuid", "name"}}, "of a state": {ProvisionState: nodes.Enroll},
		"of a class": {ResourceClass: "small", Driver: "fake-hardware", Owner: "team-a", SortKey: "name", SortDir: "desc"}} {
		page, err := nodes.List(g.c, opts).AllPages(ctx)
		g.ok("list "+what, err)
		found, err := nodes.ExtractNodes(page)
		g.ok("list "+what, err)
		if len(found) != 1 || found[0].UUID != n.UUID {
			g.t.Errorf("list %s: %+v", what, found)
		}
	}
	page, err := nodes.ListDetail(g.c, nodes.ListOpts{}).AllPages(ctx)
	g.ok("list in detail", err)
	found, err := nodes.ExtractNodes(page)
	g.ok("list in detail", err)
	if len(found) != 1 || found[0].Driver != "fake-hardware" {
		g.t.Errorf("list in detail: %+v", found)
	}
	g.ok("maintenance", nodes.SetMaintenance(ctx, g.c, n.UUID, nodes.MaintenanceOpts{Reason: "fans"}).ExtractErr())
	if n, err = nodes.Get(ctx, g.c, "gopher-1").Extract(); err != nil || !n.Maintenance || n.MaintenanceReason != "fans" {
		g.t.Errorf("maintained %+v %v", n, err)
	}
	g.ok("no maintenance", nodes.UnsetMaintenance(ctx, g.c, n.UUID).ExtractErr())
	return n
}

func (g cloud) wires(ctx context.Context, node string) {
	g.t.Helper()
	on := true
	p, err := ports.Create(ctx, g.c, ports.CreateOpts{NodeUUID: node, Address: "52:54:00:AA:00:01", PXEEnabled: &on, PhysicalNetwork: "rack1",
		LocalLinkConnection: map[string]any{"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "Ethernet3/1"}}).Extract()
	g.ok("create port", err)
	if p.Address != "52:54:00:aa:00:01" || !p.PXEEnabled || p.NodeUUID != node || p.LocalLinkConnection["port_id"] != "Ethernet3/1" {
		g.t.Errorf("port %+v", p)
	}
	p, err = ports.Update(ctx, g.c, p.UUID, ports.UpdateOpts{ports.UpdateOperation{Op: ports.ReplaceOp, Path: "/physical_network", Value: "rack2"}}).Extract()
	g.ok("update port", err)
	for what, opts := range map[string]ports.ListOpts{"of the node": {NodeUUID: node}, "of the address": {Address: p.Address}} {
		page, err := ports.ListDetail(g.c, opts).AllPages(ctx)
		g.ok("list ports "+what, err)
		found, err := ports.ExtractPorts(page)
		g.ok("list ports "+what, err)
		if len(found) != 1 || found[0].PhysicalNetwork != "rack2" {
			g.t.Errorf("ports %s: %+v", what, found)
		}
	}
	g.refused("a second port of the address", ports.Create(ctx, g.c, ports.CreateOpts{NodeUUID: node, Address: p.Address}).Err, http.StatusConflict)
	if one, err := ports.Get(ctx, g.c, p.UUID).Extract(); err != nil || one.UUID != p.UUID {
		g.t.Errorf("port %+v %v", one, err)
	}
}

// moves takes the node through its life, and back.
func (g cloud) moves(ctx context.Context, node string) {
	g.t.Helper()
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetInspect}, nodes.Manageable)
	inv, err := nodes.GetInventory(ctx, g.c, node).Extract()
	g.ok("inventory", err)
	if inv.Inventory.CPU.Count != 2 || len(inv.Inventory.Interfaces) == 0 {
		g.t.Errorf("inventory %+v", inv.Inventory)
	}
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetClean,
		CleanSteps: []nodes.CleanStep{{Interface: nodes.InterfaceBIOS, Step: "factory_reset"}}}, nodes.Manageable)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetActive,
		ConfigDrive: nodes.ConfigDrive{MetaData: map[string]any{"hostname": "web-1"}, UserData: "#cloud-config\n"},
		DeploySteps: []nodes.DeployStep{{Interface: nodes.InterfaceBIOS, Step: "factory_reset", Priority: 90, Args: map[string]any{}}}}, nodes.Active)
	n, err := nodes.Get(ctx, g.c, node).Extract()
	g.ok("get", err)
	if n.InstanceInfo["configdrive"] != "******" || n.TargetProvisionState != "" || n.LastError != "" {
		g.t.Errorf("deployed %+v", n)
	}
	g.refused("delete of an active node", nodes.Delete(ctx, g.c, node).Err, http.StatusConflict)
	g.refused("a verb that leads nowhere", nodes.ChangeProvisionState(ctx, g.c, node, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}).Err, http.StatusBadRequest)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetService,
		ServiceSteps: []nodes.ServiceStep{{Interface: nodes.InterfaceBIOS, Step: "factory_reset"}}}, nodes.Active)
	g.refused("a rescue without a password", nodes.ChangeProvisionState(ctx, g.c, node, nodes.ProvisionStateOpts{Target: nodes.TargetRescue}).Err, http.StatusBadRequest)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetRescue, RescuePassword: "a rescue password"}, nodes.Rescue)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetRescue, RescuePassword: "another"}, nodes.Rescue)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetUnrescue}, nodes.Active)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetRebuild}, nodes.Active)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetDeleted}, nodes.Available)
}

// to asks for a verb and waits for the state in which it ends.
func (g cloud) to(ctx context.Context, node string, opts nodes.ProvisionStateOpts, end nodes.ProvisionState) {
	g.t.Helper()
	err := nodes.ChangeProvisionState(ctx, g.c, node, opts).ExtractErr()
	for gophercloud.ResponseCodeIs(err, http.StatusConflict) && ctx.Err() == nil { // something still holds it: as every client does
		err = nodes.ChangeProvisionState(ctx, g.c, node, opts).ExtractErr()
	}
	g.ok("verb "+string(opts.Target), err)
	g.until(ctx, "state "+string(end)+" after "+string(opts.Target), node, func(n *nodes.Node) bool {
		return n.ProvisionState == string(end) && n.TargetProvisionState == ""
	})
}

// until looks at a node until it is as wanted, or for a minute.
func (g cloud) until(ctx context.Context, what, node string, is func(*nodes.Node) bool) {
	g.t.Helper()
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		n, err := nodes.Get(ctx, g.c, node).Extract()
		g.ok("get", err)
		if is(n) {
			return
		}
		select {
		case <-limit.Done():
			g.t.Fatalf("no %s: the node is %+v", what, n)
		case <-look.C:
		}
	}
}

// operates uses what is beside the life cycle.
func (g cloud) operates(ctx context.Context, node string) {
	g.t.Helper()
	v, err := nodes.Validate(ctx, g.c, node).Extract()
	g.ok("validate", err)
	if !v.Power.Result || !v.Deploy.Result || !v.Management.Result {
		g.t.Errorf("validation %+v", v)
	}
	g.ok("set boot device", nodes.SetBootDevice(ctx, g.c, node, nodes.BootDeviceOpts{BootDevice: "pxe", Persistent: true}).ExtractErr())
	if b, err := nodes.GetBootDevice(ctx, g.c, node).Extract(); err != nil || b.BootDevice != "pxe" || !b.Persistent {
		g.t.Errorf("boot device %+v %v", b, err)
	}
	if list, err := nodes.GetSupportedBootDevices(ctx, g.c, node).Extract(); err != nil || !slices.Contains(list, "disk") {
		g.t.Errorf("boot devices %v %v", list, err)
	}
	for _, p := range []struct {
		to  nodes.TargetPowerState
		end string
	}{{nodes.PowerOn, "power on"}, {nodes.Rebooting, "power on"}, {nodes.SoftPowerOff, "power off"}} {
		g.ok("power "+string(p.to), nodes.ChangePowerState(ctx, g.c, node, nodes.PowerStateOpts{Target: p.to}).ExtractErr())
		g.until(ctx, string(p.to), node, func(n *nodes.Node) bool { return n.PowerState == p.end && n.TargetPowerState == "" })
	}
}

// allocates finds the node by what it is; the node is available.
func (g cloud) allocates(ctx context.Context, node string) {
	g.t.Helper()
	a, err := allocations.Create(ctx, g.c, allocations.CreateOpts{ResourceClass: "small", Name: "web", CandidateNodes: []string{"gopher-1"}}).Extract()
	g.ok("allocate", err)
	g.until(ctx, "allocation", node, func(n *nodes.Node) bool { return n.AllocationUUID == a.UUID && n.InstanceUUID == a.UUID })
	if a, err = allocations.Get(ctx, g.c, "web").Extract(); err != nil || a.State != allocations.Active || a.NodeUUID != node {
		g.t.Errorf("allocation %+v %v", a, err)
	}
	page, err := allocations.List(g.c, allocations.ListOpts{State: allocations.AllocationState(allocations.Active), ResourceClass: "small"}).AllPages(ctx)
	g.ok("list allocations", err)
	found, err := allocations.ExtractAllocations(page)
	g.ok("list allocations", err)
	if len(found) != 1 || found[0].Name != "web" {
		g.t.Errorf("allocations %+v", found)
	}
	g.ok("delete allocation", allocations.Delete(ctx, g.c, "web").ExtractErr())
	g.until(ctx, "end of the allocation", node, func(n *nodes.Node) bool { return n.AllocationUUID == "" && n.InstanceUUID == "" })
}

// configures uses what hangs on the machine beside its life; the node comes and goes as available.
func (g cloud) configures(ctx context.Context, node string) {
	g.t.Helper()
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	size := 100
	g.ok("RAID", nodes.SetRAIDConfig(ctx, g.c, node, nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{{SizeGB: &size, RAIDLevel: nodes.RAID1}}}).ExtractErr())
	n, err := nodes.Get(ctx, g.c, node).Extract()
	g.ok("get", err)
	if disks, _ := n.TargetRAIDConfig["logical_disks"].([]any); len(disks) != 1 {
		g.t.Errorf("target RAID configuration %v", n.TargetRAIDConfig)
	}
	bad := -1
	g.refused("RAID of less than nothing", nodes.SetRAIDConfig(ctx, g.c, node, nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{{SizeGB: &bad, RAIDLevel: nodes.RAID1}}}).Err, http.StatusBadRequest)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetClean, CleanSteps: []nodes.CleanStep{{Interface: nodes.InterfaceBIOS, Step: "apply_configuration",
		Args: map[string]any{"settings": []any{map[string]any{"name": "virtualization", "value": "on"}}}}}}, nodes.Manageable)
	settings, err := nodes.ListBIOSSettings(ctx, g.c, node, nodes.ListBIOSSettingsOpts{Detail: true}).Extract()
	g.ok("BIOS settings", err)
	if len(settings) != 1 || settings[0].Value != "on" {
		g.t.Errorf("BIOS settings %+v", settings)
	}
	one := nodes.GetBIOSSetting(ctx, g.c, node, "virtualization") // its Extract looks for a key that no server sends
	g.ok("BIOS setting", one.Err)
	if body, _ := one.Body.(map[string]any); body["virtualization"] == nil {
		g.t.Errorf("BIOS setting %v", one.Body)
	}
	parts, err := nodes.ListFirmware(ctx, g.c, node).Extract()
	g.ok("firmware", err)
	if !slices.ContainsFunc(parts, func(c nodes.FirmwareComponent) bool { return c.Component == "bmc" && c.CurrentVersion != "" }) {
		g.t.Errorf("firmware %+v", parts)
	}
	methods, err := nodes.ListVendorPassthruMethods(ctx, g.c, node).Extract()
	g.ok("vendor methods", err)
	if _, ok := methods["third_method_sync"]; !ok {
		g.t.Errorf("vendor methods %v", methods)
	}
	g.refused("a vendor method that is not there", nodes.CallVendorPassthru(ctx, g.c, node, http.MethodPost, nodes.VendorPassthruCallOpts{Method: "nothing"}).Err, http.StatusBadRequest)
	g.refused("an NMI that the driver cannot send", nodes.InjectNMI(ctx, g.c, node).Err, http.StatusBadRequest)
	disk, err := drivers.GetDriverDiskProperties(ctx, g.c, "fake-hardware").Extract()
	g.ok("RAID properties", err)
	if (*disk)["raid_level"] == "" {
		g.t.Errorf("RAID properties %v", disk)
	}
	g.attaches(ctx, node)
	g.to(ctx, node, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
}

// attaches puts virtual interfaces and media to the node, and takes them off.
func (g cloud) attaches(ctx context.Context, node string) {
	g.t.Helper()
	g.ok("attach medium", nodes.AttachVirtualMedia(ctx, g.c, node, nodes.AttachVirtualMediaOpts{DeviceType: nodes.VirtualMediaCD,
		ImageURL: "http://192.0.2.1/rescue.iso", ImageDownloadSource: nodes.ImageDownloadSourceHTTP}).ExtractErr())
	g.refused("attach a medium by no URL", nodes.AttachVirtualMedia(ctx, g.c, node, nodes.AttachVirtualMediaOpts{DeviceType: nodes.VirtualMediaCD, ImageURL: "nothing"}).Err, http.StatusBadRequest)
	media := nodes.GetVirtualMedia(ctx, g.c, node)
	g.ok("media", media.Err)
	g.ok("detach media", nodes.DetachVirtualMedia(ctx, g.c, node, nodes.DetachVirtualMediaOpts{DeviceTypes: []nodes.VirtualMediaDeviceType{nodes.VirtualMediaCD}}).ExtractErr())
	vifs, err := nodes.ListVirtualInterfaces(ctx, g.c, node).Extract()
	g.ok("virtual interfaces", err)
	if len(vifs) != 0 {
		g.t.Errorf("virtual interfaces %+v", vifs)
	}
}
