package ops

import (
	"context"
	"encoding/pem"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// errNoLookup is the one answer to every lookup that finds nothing: it tells a stranger nothing.
var errNoLookup = fault.New(fault.NotFound, "Resource could not be found.")

// LookupQuestion is what an agent says of itself. NodeUUID goes before Addresses.
type LookupQuestion struct {
	Addresses []string // MACs of its NICs
	NodeUUID  string
	Token     secret.Secret // of its boot media, from the header agentapi.TokenHeader; empty: it showed none
	Minor     int           // microversion
}

// Lookup answers an agent that asks which node it runs on: by UUID, else by the MAC addresses of its NICs.
//
// A token that travelled on the boot media is never given; one made here is given once, to a node that
// waits for its agent, and only from microversion 1.62 on. Ironic hands a stored token out in clear to
// older versions; this does not.
//
// An agent that shows a token must show the one of the node's current boot, or it learns nothing. One that
// shows none although its boot media carry one is upstream's, which cannot, or a stranger who knows a MAC
// address: it is told who it is and little else. A conductor's commands bring the whole node.
func (s *Service) Lookup(ctx context.Context, q LookupQuestion) (*agentapi.LookupAnswer, error) {
	if len(q.Addresses) == 0 && q.NodeUUID == "" {
		return nil, fault.New(fault.Invalid, "A lookup needs the addresses of the machine's network interfaces, or node_uuid.")
	}
	var answer *agentapi.LookupAnswer
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := lookedUp(tx, q.Addresses, q.NodeUUID)
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
		node := store.AgentNode(n)
		switch {
		case !q.Token.Empty() && (a == nil || !a.Token.Equal(q.Token.Expose())):
			return errNoLookup
		case q.Token.Empty() && a != nil && a.Pregenerated:
			node = stranger(node)
		}
		token, err := tokenFor(tx, a, q.Minor)
		if err != nil {
			return err
		}
		answer = &agentapi.LookupAnswer{Node: node, Config: agentapi.LookupConfig{
			HeartbeatTimeout: int(s.config.HeartbeatTimeout / time.Second), AgentToken: token, AgentTokenRequired: true,
			Time: time.Now().UTC().Format(time.RFC3339), PermittedFormats: s.config.ImageRules.Told()}}
		return nil
	})
	return answer, err
}

// open are the properties that an agent without a token sees: what it chooses disks by.
var open = []string{"root_device", "skip_block_devices", "capabilities", "cpu_arch"}

// stranger is what of a node an agent is told that did not show the token its boot media carry.
func stranger(n agentapi.Node) agentapi.Node {
	few := map[string]any{}
	for _, key := range open {
		if v, ok := n.Properties[key]; ok {
			few[key] = v
		}
	}
	return agentapi.Node{UUID: n.UUID, Properties: few, InstanceInfo: map[string]any{}, InternalInfo: map[string]any{}}
}

func lookedUp(tx *store.Tx, addresses []string, nodeUUID string) (*metal.Node, error) {
	var n *metal.Node
	if nodeUUID != "" {
		if _, err := uuid.Parse(nodeUUID); err != nil {
			return nil, errNoLookup
		}
		found, err := tx.Node(nodeUUID)
		if fault.KindOf(err) == fault.NotFound {
			return nil, errNoLookup
		}
		if err != nil {
			return nil, err
		}
		n = found
	} else {
		found, err := tx.NodesByMAC(addresses)
		if err != nil {
			return nil, err
		}
		if len(found) != 1 {
			return nil, errNoLookup
		}
		n = found[0]
	}
	if !metal.States[n.ProvisionState].Lookup {
		return nil, errNoLookup
	}
	return n, nil
}

// tokenFor gives the token to a first lookup, the mask to every other. a is nil without a boot.
func tokenFor(tx *store.Tx, a *store.Agent, minor int) (string, error) {
	if a == nil || minor < metal.SinceLookupToken || a.Pregenerated || a.HandedOut {
		return secret.Mask, nil
	}
	a.HandedOut = true
	return a.Token.Expose(), tx.SaveAgent(a)
}

// Heartbeat records that a node's agent is there and makes the operation that waits for it due.
func (s *Service) Heartbeat(ctx context.Context, ident string, hb agentapi.Heartbeat) error {
	u, err := url.Parse(hb.CallbackURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fault.New(fault.Invalid, "callback_url must be the URL of the agent's API, like https://192.0.2.10:9999.")
	}
	if u.Scheme != "https" {
		return fault.New(fault.Invalid, "TLS is required: the agent's callback_url must be https.")
	}
	if hb.AgentToken == "" || hb.AgentVersion == "" {
		return fault.New(fault.Invalid, "A heartbeat needs agent_token and agent_version.")
	}
	if block, _ := pem.Decode([]byte(hb.AgentVerifyCA)); block == nil || block.Type != "CERTIFICATE" {
		return fault.New(fault.Invalid, "A heartbeat needs agent_verify_ca: the agent's certificate in PEM.")
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(ident)
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
		if a == nil || !a.Token.Equal(hb.AgentToken) {
			return fault.New(fault.Invalid, "Invalid agent token received.")
		}
		base := strings.TrimRight(hb.CallbackURL, "/")
		switch {
		case a.URL != "" && a.URL != base:
			return fault.New(fault.Invalid, "Detected change in ramdisk provided callback_url.")
		case a.VerifyCA != "" && a.VerifyCA != hb.AgentVerifyCA:
			return fault.New(fault.Invalid, "Detected change in ramdisk provided certificate.")
		}
		first := a.LastHeartbeat.IsZero()
		a.URL, a.VerifyCA, a.Version = base, hb.AgentVerifyCA, hb.AgentVersion
		if a.LastHeartbeat, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.SaveAgent(a); err != nil {
			return err
		}
		if first {
			if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "agent", Who: "agent", Why: "The agent called back, version " + clip(hb.AgentVersion, 64) + "."}); err != nil {
				return err
			}
		}
		return tx.Wake(n.ID, metal.WaitAgent)
	})
}

// mayCall refuses the agent of a node that is only polled. What its boot began with goes before what is configured now.
func (s *Service) mayCall(n *metal.Node, a *store.Agent) error {
	polled, err := metal.PollOnly(n, s.config.PollOnly)
	if a != nil {
		polled, err = a.PollOnly, nil
	}
	if err == nil && polled {
		return fault.New(fault.Forbidden, "The agent of this node is only polled: it has nothing to call here.")
	}
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
