package ops

import (
	"context"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// inspection chooses the plan by the node's inspect interface: its agent tells, or its BMC.
func inspection(n *metal.Node) (metal.Plan, error) {
	switch n.Interface("inspect") {
	case "agent":
		return metal.PlanInspect, nil
	case "", "no-inspect":
		return "", fault.New(fault.Invalid, "Driver %s does not support inspect (disabled or not implemented). "+
			"Set inspect_interface of node %s to one that its driver has.", n.Driver, n.UUID)
	}
	return metal.PlanProbe, nil
}

// Inventory is what the last inspection of a node found; fault.NotFound if there was none.
type Inventory = store.Inventory

// Inventory gives what the last inspection of a node found.
func (s *Service) Inventory(ctx context.Context, c Caller, ident string) (out *Inventory, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:inventory:get")
		if err != nil {
			return err
		}
		out, err = tx.Inventory(n)
		return err
	})
	return out, err
}

// Inspected is what a machine under inspection reports. NodeUUID goes before the addresses of its inventory.
type Inspected struct {
	Body     []byte
	NodeUUID string
	Token    secret.Secret // of its boot media; empty: it showed none
}

// ContinueInspection takes the report of a machine under inspection and makes the operation that waits for it
// due. A machine that is not known, or not under inspection, learns nothing but that; a token that is shown must
// be that of the node's current boot. The answer is a lookup's.
func (s *Service) ContinueInspection(ctx context.Context, q Inspected) (*agentapi.LookupAnswer, error) {
	report, inv, err := agentapi.ParseReport(q.Body)
	if err != nil {
		return nil, err
	}
	plugins, err := json.Marshal(report.Plugins)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The inspection data cannot be read.")
	}
	var answer *agentapi.LookupAnswer
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := inspectedNode(tx, q.NodeUUID, inv)
		if err != nil {
			return err
		}
		a, err := tx.Agent(n)
		if err != nil {
			return err
		}
		if err := s.mayCall(n, a); err != nil {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		if err != nil {
			return err
		}
		if a == nil || live == nil || live.Plan != string(metal.PlanInspect) || live.Undoing || !q.Token.Empty() && !a.Token.Equal(q.Token.Expose()) {
			return errNoLookup
		}
		trusted := !q.Token.Empty()
		if err := tx.SaveReport(&store.Report{NodeID: n.ID, Boot: a.Boot, Trusted: trusted, Inventory: report.Inventory, Plugins: plugins}); err != nil {
			return err
		}
		why := "The machine reported what it is made of."
		if report.Error != "" {
			why = "The machine reported what it is made of, and: " + clip(report.Error, 1024)
		}
		if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Operation: live.UUID, Kind: "agent", Who: "agent", Why: why}); err != nil {
			return err
		}
		node := store.AgentNode(n)
		if !trusted {
			node = stranger(node)
		}
		answer = &agentapi.LookupAnswer{Node: node, Config: agentapi.LookupConfig{HeartbeatTimeout: int(s.config.HeartbeatTimeout / time.Second),
			AgentToken: secret.Mask, AgentTokenRequired: true, Time: time.Now().UTC().Format(time.RFC3339)}}
		return tx.Wake(n.ID, metal.WaitAgent)
	})
	return answer, err
}

// inspectedNode finds the node that a report is of: by its UUID, else by the addresses of its NICs, else by the
// address of its BMC among the nodes that are being inspected. Whatever goes wrong looks the same from outside.
func inspectedNode(tx *store.Tx, id string, inv agentapi.Inventory) (*metal.Node, error) {
	var macs []string
	for _, i := range inv.Interfaces {
		if mac, ok := agentapi.MAC(i.MACAddress); ok && len(macs) < 256 {
			macs = append(macs, mac)
		}
	}
	under := func(n *metal.Node) bool {
		return n.ProvisionState == metal.InspectWait || n.ProvisionState == metal.Inspecting
	}
	var found []*metal.Node
	var err error
	switch {
	case id != "":
		var n *metal.Node
		if n, err = tx.Node(id); err == nil {
			found = []*metal.Node{n}
		}
	default:
		found, err = tx.NodesByMAC(macs)
		if err == nil && len(found) == 0 {
			found, err = byBMC(tx, inv)
		}
	}
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil, errNoLookup
	case err != nil:
		return nil, err
	case len(found) != 1 || !under(found[0]):
		return nil, errNoLookup
	}
	return found[0], nil
}

// byBMC finds the nodes under inspection whose BMC has the address that the machine tells of. Names are not
// resolved: a request without a login makes this server ask nobody.
func byBMC(tx *store.Tx, inv agentapi.Inventory) ([]*metal.Node, error) {
	var told []netip.Addr
	for _, text := range []*string{inv.BMCAddress, inv.BMCV6Address} {
		if text == nil {
			continue
		}
		if ip, err := netip.ParseAddr(*text); err == nil && !ip.IsUnspecified() && !ip.IsLoopback() {
			told = append(told, ip.Unmap())
		}
	}
	if len(told) == 0 {
		return nil, nil
	}
	waiting, err := tx.Nodes(store.NodeFilter{Equal: map[string]string{"provision_state": string(metal.InspectWait)}}, store.Page{})
	return slices.DeleteFunc(waiting, func(n *metal.Node) bool {
		text := n.DriverInfo.Public("redfish_address")
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			text = u.Hostname()
		}
		ip, err := netip.ParseAddr(text)
		return err != nil || !slices.Contains(told, ip.Unmap())
	}), err
}
