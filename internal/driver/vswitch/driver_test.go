package vswitch_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ingot/internal/driver/vswitch"
	"ingot/internal/fault"
	"ingot/internal/metal"
	lab "ingot/lab/vswitch"
)

const isolated = "1= 2= Eth 1/3="

func TestAMachineGoesRound(t *testing.T) {
	r := newRig(t, nil)
	r.wired.Ports[2].InternalInfo = vif("tenant-a")
	for _, step := range []struct {
		what, got, want, owners string
	}{
		{"plug provisioning", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=", "a,,"},
		{"again", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=", "a,,"},
		{"unplug another role", r.unplug(metal.CleaningNetwork), "1=provisioning 2= Eth 1/3=", "a,,"},
		{"unplug the tenant's", r.unplug(metal.TenantNetwork), "1=provisioning 2= Eth 1/3=", "a,,"},
		{"unplug", r.unplug(metal.ProvisioningNetwork), isolated, ",,"},
		{"again", r.unplug(metal.ProvisioningNetwork), isolated, ",,"},
	} {
		r.is(step.what, step.got, step.want)
	}
	r.is("the tenant's", r.plug(metal.TenantNetwork), "1= 2= Eth 1/3=tenant-a")
	r.is("owners", r.owners(), ",,a")
	r.is("from the tenant's to cleaning", r.plug(metal.CleaningNetwork), "1=cleaning 2= Eth 1/3=")
	if v := r.wired.Ports[0].InternalInfo["cleaning_vif_port_id"]; v != "cleaning" {
		t.Errorf("noted %v", v)
	}
	r.is("back", r.plug(metal.TenantNetwork), "1= 2= Eth 1/3=tenant-a")
	r.is("off", r.unplug(metal.TenantNetwork), isolated)
	if v := r.wired.Ports[2].InternalInfo["tenant_vif_port_id"]; v != "tenant-a" {
		t.Errorf("the VIF is not the driver's to forget: %v", v)
	}
}

func TestNothingIsNotedAndAllIsFound(t *testing.T) {
	r := newRig(t, nil)
	r.is("plug", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=")
	for _, p := range r.wired.Ports { // the process was killed before it could note
		p.InternalInfo = nil
	}
	r.is("unplug", r.unplug(metal.ProvisioningNetwork), isolated)
	r.is("plug", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=")
	r.node.DriverInfo = info(map[string]any{"provisioning_network": "cleaning"}) // the operator has changed his mind
	r.is("unplug what is noted", r.unplug(metal.ProvisioningNetwork), isolated)
	r.wired.Ports[1].InternalInfo = vif("tenant-a")
	r.is("tenant", r.plug(metal.TenantNetwork), "1= 2=tenant-a Eth 1/3=")
	r.wired.Ports[1].InternalInfo = vif("tenant-b") // and the VIF is another
	r.is("unplug the one that was", r.unplug(metal.TenantNetwork), isolated)
}

func TestPortGroupsMoveTogether(t *testing.T) {
	for _, single := range []bool{false, true} {
		r := newRig(t, nil)
		if single {
			r.fault(lab.Fault{Name: lab.Single})
		}
		r.wired.Groups = []*metal.Portgroup{{UUID: "g", InternalInfo: vif("tenant-b")}}
		r.wired.Ports[0].PortgroupUUID, r.wired.Ports[1].PortgroupUUID = "g", "g"
		r.is("provisioning", r.plug(metal.ProvisioningNetwork), "1=provisioning 2=provisioning Eth 1/3=")
		r.is("tenant", r.plug(metal.TenantNetwork), "1=tenant-b 2=tenant-b Eth 1/3=")
		if err := r.DetachVIF(t.Context(), r.node, r.wired, "tenant-b"); err != nil {
			t.Error(err)
		}
		r.is("detached", r.fabric.String(), isolated)
	}
}

func TestFaultsAreOutlivedOrTakenBack(t *testing.T) {
	both := func(r *rig) { r.wired.Ports[1].PXEEnabled = true } // two ports have to move
	for _, c := range []struct {
		name   string
		faults []lab.Fault
		want   string // where the ports are at the end; with a sentence behind "!", of the error
	}{
		{"busy", []lab.Fault{{Name: lab.Busy}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"gone once", []lab.Fault{{Name: lab.Gone, Times: 1}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"stale once", []lab.Fault{{Name: lab.Stale, Times: 1}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"stale for ever", []lab.Fault{{Name: lab.Stale}}, isolated + "!somebody else uses or changes the port"},
		{"one by one, an answer lost", []lab.Fault{{Name: lab.Single}, {Name: lab.Lost, Times: 1}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"one by one, the second refused", []lab.Fault{{Name: lab.Single}, {Name: lab.Refuse, Port: "2"}}, isolated + "!could not put port 2 of switch sw&1 on network provisioning"},
		{"the second refused", []lab.Fault{{Name: lab.Refuse, Port: "2"}}, isolated + "!could not put port 2 of switch sw&1 on network provisioning"},
		{"half applied, then well", []lab.Fault{{Name: lab.Half, Times: 1}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"half applied, whatever is sent", []lab.Fault{{Name: lab.Half}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"the second accepted only", []lab.Fault{{Name: lab.NotApplied, Port: "2"}}, isolated + "!accepted to put port 2 of switch sw&1 on network provisioning and still shows it isolated"},
		{"the second fails", []lab.Fault{{Name: lab.Failed, Port: "2", Times: 1}}, "1=provisioning 2=provisioning Eth 1/3="},
		{"wrong token", []lab.Fault{{Name: lab.WrongToken}}, isolated + "!look at [vswitch] token_file"},
		{"nonsense", []lab.Fault{{Name: lab.Garbage}}, isolated + "!gave an answer that is none"},
		{"elsewhere", []lab.Fault{{Name: lab.Redirects}}, isolated + "!could not show port 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			both(r)
			r.fault(c.faults...)
			at, sentence, fails := strings.Cut(c.want, "!")
			got := r.plug(metal.ProvisioningNetwork)
			if fails {
				r.says("plug", got, at, sentence)
			} else {
				r.is("plug", got, at)
			}
			r.fault()
			r.is("when all is well", r.plug(metal.ProvisioningNetwork), "1=provisioning 2=provisioning Eth 1/3=")
		})
	}
}

func TestWhatCannotBeTakenBackIsSaid(t *testing.T) {
	r := newRig(t, nil)
	r.wired.Ports[0].InternalInfo = vif("tenant-a")
	r.is("tenant", r.plug(metal.TenantNetwork), "1=tenant-a 2= Eth 1/3=")
	r.wired.Ports[1].PXEEnabled = true
	r.fabric.broken, r.fabric.breaks = "1", "tenant-a" // no way back for the first
	r.fault(lab.Fault{Name: lab.Single}, lab.Fault{Name: lab.Refuse, Port: "2"})
	r.says("plug", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=",
		"What was done before could not be taken back: look at port 1 of switch sw&1, which was on network tenant-a.")
	if !strings.Contains(r.log.String(), "could not be set back") {
		t.Errorf("the log says nothing: %s", r.log)
	}
	r.fabric.broken = ""
	r.fault()
	r.is("found again", r.unplug(metal.ProvisioningNetwork), isolated)
}

// TestWhatHasLeftStaysApart: of a machine that leaves its networks, a NIC that is isolated is not put back when another's
// port fails; asked again, only that one is left.
func TestWhatHasLeftStaysApart(t *testing.T) {
	half := "1= 2=tenant-b Eth 1/3="
	for _, c := range []struct {
		name   string
		faults []lab.Fault
		want   string
	}{
		{"one by one, the second refused", []lab.Fault{{Name: lab.Single}, {Name: lab.Refuse, Port: "2"}}, half + "!could not isolate port 2"},
		{"one by one, the first refused", []lab.Fault{{Name: lab.Single}, {Name: lab.Refuse, Port: "1"}}, "1=tenant-a 2= Eth 1/3=!could not isolate port 1"},
		{"together, the second refused", []lab.Fault{{Name: lab.Refuse, Port: "2"}}, half + "!could not isolate port 2"},
		{"the second accepted only", []lab.Fault{{Name: lab.NotApplied, Port: "2"}}, half + "!still shows it on network tenant-b"},
	} {
		for _, how := range []string{"unplug", "detach"} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, nil)
				first, second := "tenant-a", "tenant-b"
				at, sentence, _ := strings.Cut(c.want, "!")
				leave := func() string { return r.unplug(metal.TenantNetwork) }
				if how == "detach" { // a VIF of a port group is on several NICs
					second = first
					at, sentence = strings.ReplaceAll(at, "tenant-b", first), strings.ReplaceAll(sentence, "tenant-b", first)
					leave = func() string { return r.outcome("", r.DetachVIF(t.Context(), r.node, r.wired, first)) }
				}
				r.wired.Ports[0].InternalInfo, r.wired.Ports[1].InternalInfo = vif(first), vif(second)
				r.is("tenant", r.plug(metal.TenantNetwork), "1="+first+" 2="+second+" Eth 1/3=")
				r.fault(c.faults...)
				r.says("leave", leave(), at, sentence)
				r.says("and again", leave(), at, sentence)
				r.fault()
				r.is("when all is well", leave(), isolated)
			})
		}
	}
}

// TestNotesOutliveAFailure: a port that could not leave an operator's network is found by its note, whatever the network's
// name is by then.
func TestNotesOutliveAFailure(t *testing.T) {
	r := newRig(t, nil)
	r.node.DriverInfo = info(map[string]any{"cleaning_network": "rescuing"})
	r.is("cleaning", r.plug(metal.CleaningNetwork), "1=rescuing 2= Eth 1/3=")
	r.fault(lab.Fault{Name: lab.Refuse, Port: "1"})
	r.says("off", r.unplug(metal.CleaningNetwork), "1=rescuing 2= Eth 1/3=", "could not isolate port 1")
	r.node.DriverInfo = info(map[string]any{})
	r.fault()
	r.is("off again", r.unplug(metal.CleaningNetwork), isolated)
	if r.wired.On(metal.CleaningNetwork) {
		t.Error("it is still noted")
	}
}

func TestASwitchTakesItsTime(t *testing.T) {
	r := newRig(t, nil)
	r.fault(lab.Fault{Name: lab.Pending, Port: "1", Times: 2}) // the first look, and one more
	r.is("soon", r.plug(metal.ProvisioningNetwork), "1=provisioning 2= Eth 1/3=")
	r.is("off", r.unplug(metal.ProvisioningNetwork), isolated)
	r.fault(lab.Fault{Name: lab.Pending, Port: "1"})
	r.is("later", r.plug(metal.ProvisioningNetwork),
		"1=provisioning 2= Eth 1/3=; waiting: the switch has not yet finished to put port 1 of switch sw&1 on network provisioning")
	r.is("asked again", r.plug(metal.ProvisioningNetwork),
		"1=provisioning 2= Eth 1/3=; waiting: the switch has not yet finished to put port 1 of switch sw&1 on network provisioning")
	r.says("off, and not known to be", r.unplug(metal.ProvisioningNetwork), isolated, "not yet finished to isolate port 1")
	r.fault(lab.Fault{Name: lab.Failed, Port: "1", Times: 1})
	r.fault(lab.Fault{Name: lab.Failed, Port: "1"}) // from now on, also of what is taken back
	r.says("failed", r.plug(metal.ProvisioningNetwork), isolated, "The switch could not put port 1 of switch sw&1 on network provisioning: the transceiver is gone")
}

func TestAnotherNodesPortIsRefused(t *testing.T) {
	r := newRig(t, nil)
	other := &metal.Node{UUID: nodeB}
	wired := metal.Wiring{Ports: []*metal.Port{nicAt("q1", "2", true)}}
	if _, _, err := r.Plug(t.Context(), other, wired, metal.CleaningNetwork); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{"plug": r.plug(metal.ProvisioningNetwork), "unplug": r.unplug(metal.CleaningNetwork)} {
		r.says(what, got, "1= 2=cleaning Eth 1/3=", "Port 2 of switch sw&1 is in use by node "+nodeB)
	}
	if _, err := r.CheckNetwork(t.Context(), r.node, r.wired, metal.ProvisioningNetwork); fault.KindOf(err) != fault.Conflict {
		t.Errorf("check: %v", err)
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		what     string
		role     metal.NetworkRole
		change   func(r *rig)
		warning  string
		sentence string
	}{
		{"all is well", metal.ProvisioningNetwork, func(*rig) {}, "", ""},
		{"no VIF is well", metal.TenantNetwork, func(*rig) {}, "", ""},
		{"no network named", metal.ServicingNetwork, func(*rig) {}, "", "set driver_info servicing_network, or [vswitch] servicing_network"},
		{"no such network", metal.ServicingNetwork, func(r *rig) { r.node.DriverInfo = info(map[string]any{"servicing_network": "moon"}) }, "", `no network "moon"`},
		{"rescuing by its alias", metal.RescuingNetwork, func(r *rig) { r.node.DriverInfo = info(map[string]any{"rescue_network": "cleaning"}) }, "is the cleaning network, too", ""},
		{"not cabled", metal.CleaningNetwork, func(r *rig) { r.wired.Ports[1].LocalLinkConnection = nil }, "", "Port p2 (52:54:00:00:00:02) does not say where it is cabled to"},
		{"of no switch", metal.CleaningNetwork, func(r *rig) { r.wired.Ports[1].LocalLinkConnection = map[string]any{"network_type": "unmanaged"} }, "", ""},
		{"two in one socket", metal.CleaningNetwork, func(r *rig) { r.wired.Ports[1].LocalLinkConnection["port_id"] = "1" }, "", "Ports p1 and p2 of node " + nodeA + " name the same port 1"},
		{"no such port", metal.CleaningNetwork, func(r *rig) { r.wired.Ports[1].LocalLinkConnection["port_id"] = "9/9" }, "", "does not know the port"},
		{"nothing boots", metal.CleaningNetwork, func(r *rig) { r.wired.Ports[0].PXEEnabled = false }, "", "enrol a port with pxe_enabled"},
		{"a VIF nobody knows", metal.TenantNetwork, func(r *rig) { r.wired.Ports[0].InternalInfo = vif("moon") }, "", `no tenant network "moon"`},
		{"a VIF of the operator's", metal.TenantNetwork, func(r *rig) { r.wired.Ports[0].InternalInfo = vif("cleaning") }, "", `no tenant network "cleaning"`},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRig(t, nil)
			c.change(r)
			warnings, err := r.CheckNetwork(t.Context(), r.node, r.wired, c.role)
			text, _ := fault.PublicOf(err)
			if (err != nil) != (c.sentence != "") || !strings.Contains(text, c.sentence) {
				t.Errorf("%v; want %q", err, c.sentence)
			}
			if said := strings.Join(warnings, " "); (said != "") != (c.warning != "") || !strings.Contains(said, c.warning) {
				t.Errorf("warns %q; want %q", said, c.warning)
			}
			r.is("nothing moves", r.fabric.String(), isolated)
		})
	}
}

func TestVIFs(t *testing.T) {
	r := newRig(t, nil)
	r.wired.Ports[1].InternalInfo = vif("tenant-a")
	if err := r.AttachVIF(t.Context(), r.node, r.wired, "tenant-a", false); err != nil {
		t.Error(err)
	}
	r.is("attached to what is off", r.fabric.String(), isolated)
	if err := r.AttachVIF(t.Context(), r.node, r.wired, "tenant-a", true); err != nil {
		t.Error(err)
	}
	r.is("attached to what runs", r.fabric.String(), "1= 2=tenant-a Eth 1/3=")
	if err := r.AttachVIF(t.Context(), r.node, r.wired, "provisioning", true); fault.KindOf(err) != fault.Invalid {
		t.Errorf("the operator's network: %v", err)
	}
	if err := r.DetachVIF(t.Context(), r.node, r.wired, "gone-from-the-switch"); err != nil {
		t.Errorf("an unknown VIF: %v", err)
	}
	r.is("still", r.fabric.String(), "1= 2=tenant-a Eth 1/3=")
	if err := r.DetachVIF(t.Context(), r.node, r.wired, "tenant-a"); err != nil {
		t.Error(err)
	}
	r.is("detached", r.fabric.String(), isolated)
}

// A VIF that did not come about in time is refused, and does not come about later: nobody noted it.
func TestAVIFThatTakesTooLongIsLeft(t *testing.T) {
	r := newRig(t, nil)
	r.wired.Ports[1].InternalInfo = vif("tenant-a")
	r.fault(lab.Fault{Name: lab.Pending, Port: "2"})
	err := r.AttachVIF(t.Context(), r.node, r.wired, "tenant-a", true)
	r.says("attached", r.outcome("", err), isolated, "was told to leave it")
	r.is("owned by", r.owners(), ",,")
}

func TestIdlePortsHaveANetwork(t *testing.T) {
	r := newRig(t, func(c *vswitch.Config) { c.IdleNetwork = "idle" })
	r.is("plug", r.plug(metal.ProvisioningNetwork), "1=provisioning 2=idle Eth 1/3=idle")
	r.is("unplug", r.unplug(metal.ProvisioningNetwork), "1=idle 2=idle Eth 1/3=idle")
}

func TestALostLeaseSendsNothing(t *testing.T) {
	r := newRig(t, nil)
	lost := errors.New("another server has the node")
	ctx := metal.WithFence(t.Context(), func() error { return lost })
	if _, _, err := r.Plug(ctx, r.node, r.wired, metal.ProvisioningNetwork); !errors.Is(err, lost) {
		t.Errorf("plug: %v", err)
	}
	// It is lost between the first change and the second: nothing is taken back either, for the node is another's.
	r.wired.Ports[1].PXEEnabled = true
	r.fault(lab.Fault{Name: lab.Single})
	ctx = metal.WithFence(t.Context(), func() error {
		if strings.HasPrefix(r.fabric.String(), "1=provisioning") {
			return lost
		}
		return nil
	})
	if _, _, err := r.Plug(ctx, r.node, r.wired, metal.ProvisioningNetwork); !errors.Is(err, lost) {
		t.Errorf("plug: %v", err)
	}
	r.is("as it was left", r.fabric.String(), "1=provisioning 2= Eth 1/3=")
}

// TestKilledAnywhere ends each call after every number of requests, as a kill does, and begins anew with nothing noted.
func TestKilledAnywhere(t *testing.T) {
	killed := errors.New("killed")
	for requests := range 14 {
		r := newRig(t, nil)
		r.wired.Ports[1].PXEEnabled = true
		r.fault(lab.Fault{Name: lab.Single})
		left := requests
		ctx := metal.WithFence(context.Background(), func() error {
			if left--; left < 0 {
				return killed
			}
			return nil
		})
		_, _, err := r.Plug(ctx, r.node, r.wired, metal.ProvisioningNetwork)
		if err != nil && !errors.Is(err, killed) {
			t.Fatalf("after %d requests: %v", requests, err)
		}
		if requests%2 == 0 {
			r.is("plugged anew", r.plug(metal.ProvisioningNetwork), "1=provisioning 2=provisioning Eth 1/3=")
			continue
		}
		r.is("taken off anew", r.unplug(metal.ProvisioningNetwork), isolated)
		r.is("owners", r.owners(), ",,")
	}
}

func TestWithoutASwitch(t *testing.T) {
	d, err := vswitch.New(vswitch.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Plug(t.Context(), &metal.Node{UUID: nodeA}, metal.Wiring{}, metal.CleaningNetwork); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("plug: %v", err)
	}
	for what, c := range map[string]vswitch.Config{
		"plain http": {URL: "http://switch.example.org/v1"}, "no CA": {URL: "https://x/v1", CAFile: "/nowhere"},
		"half a certificate": {URL: "https://x/v1", CertFile: "/nowhere"},
	} {
		if _, err := vswitch.New(c, nil); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
