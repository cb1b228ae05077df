package conductor

import (
	"encoding/json"
	"slices"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// testCrypt is the hash of a password, as the door makes it.
const testCrypt = "$6$rounds=5000$saltsaltsalt$canarycanarycanarycanarycanarycanarycanarycanary"

const testKeyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKey user@example"

const (
	rescueAsk = `{"ask":{"rescue_keys":["` + testKeyLine + `"],"secrets":{"handle":"h","server":"s","names":["rescue_password_hash"]}}}`
	keysOnly  = `{"ask":{"rescue_keys":["` + testKeyLine + `"]}}`
)

// rescueJourneys are those of nodes whose rescue interface is agent.
var rescueJourneys = []journey{
	{"rescue", metal.PlanRescue, metal.Active, metal.EventRescue, rescueAsk, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"rescue again", metal.PlanRescue, metal.Rescue, metal.EventRescue, keysOnly, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"rescue with an own ISO", metal.PlanRescue, metal.Active, metal.EventRescue, rescueAsk, metal.Rescue, metal.RescueFailed, true, true, "user data"},
	{"unrescue", metal.PlanUnrescue, metal.Rescue, metal.EventUnrescue, "{}", metal.Active, metal.UnrescueFailed, true, true, "user data"},
	{"unrescue with Secure Boot", metal.PlanUnrescue, metal.Rescue, metal.EventUnrescue, "{}", metal.Active, metal.UnrescueFailed, true, true, "user data"},
	{"undeploy a rescued machine", metal.PlanTearDown, metal.Rescue, metal.EventDelete, "{}", metal.Available, metal.Error, true, false, "erased"},
}

// rescued is what a world's rescue ramdisk was told.
type rescued struct {
	in      bool // the user may log in
	hurried bool // the agent stops as soon as it has answered
	gone    bool // it has stopped
	was     agentapi.FinalizeRescue
}

// letIn is the agent's work of finalize_rescue.
func (w *world) letIn(cmd agentapi.Command, res *agentapi.Result) {
	if err := json.Unmarshal(cmd.Params, &w.user.was); err != nil || !w.user.was.Hashed {
		res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Message: "cannot set " + w.user.was.RescuePassword}
		return
	}
	w.user.in = true
	if !w.user.hurried {
		res.CommandStatus = agentapi.Running
	}
}

// rescuable gives the world's node what a journey with a rescue needs.
func (w *world) rescuable(j journey) {
	if !slices.ContainsFunc(rescueJourneys, func(r journey) bool { return r.name == j.name }) {
		return
	}
	w.node.Interfaces["rescue"] = "agent"
	w.node.InstanceInfo = w.node.InstanceInfo.With("configdrive", map[string]any{"network_data": map[string]any{
		"links":    []any{map[string]any{"id": "e", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}},
		"networks": []any{}, "services": []any{}}})
	w.held = &keeping{values: map[string]string{metal.RescueHash: testCrypt}}
	switch j.name {
	case "rescue with an own ISO":
		w.node.DriverInfo = w.node.DriverInfo.With("rescue_iso", "https://192.0.2.3/rescue.iso").With("deploy_iso", "https://192.0.2.3/deploy.iso")
		w.byHand = true // its agent looks itself up
		w.firm.secure = true
	case "unrescue with Secure Boot", "undeploy a rescued machine":
		w.node.InternalInfo = map[string]any{asideKey: true}
	}
}

// rescueArrived checks what a rescue left of Secure Boot, and that it gave the agent all that it needs.
func (w *world) rescueArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	if w.held == nil || wishes[j.name] != "" {
		return
	}
	aside := j.name == "rescue with an own ISO"
	on := j.name == "unrescue with Secure Boot" || j.name == "undeploy a rescued machine"
	if secureAside(n) != aside || w.firm.secure != on {
		w.t.Errorf("%s: Secure Boot is on: %v, noted as put aside: %v", label, w.firm.secure, secureAside(n))
	}
	if j.plan != metal.PlanRescue {
		return
	}
	want := testCrypt
	if j.record == keysOnly {
		want = "*"
	}
	got := w.user.was
	if !w.user.in || got.RescuePassword != want || !slices.Equal(got.SSHKeys, []string{testKeyLine}) || !strings.Contains(string(got.NetworkData), "52:54:00:00:00:01") {
		w.t.Errorf("%s: the agent was told %+v", label, got)
	}
	w.nowhere(testCrypt, label)
}

// nowhere looks for a value in everything that is kept of the node and its operations.
func (w *world) nowhere(value, label string) {
	w.t.Helper()
	var all []any
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(w.node.ID)
		if err != nil {
			return err
		}
		o, err := tx.LastOperation(n.ID)
		if err != nil {
			return err
		}
		events, err := tx.Events(n, store.Page{Limit: 1000})
		all = append(all, n.LastError, n.InstanceInfo.Expose(), n.DriverInfo.Expose(), n.InternalInfo, string(o.Record), o.Error, o.Result, o.Progress, o.WaitingWhy, events)
		return err
	})
	text, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(string(text), value) {
		w.t.Errorf("%s: the hash is kept", label)
	}
}
