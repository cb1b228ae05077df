package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// Node is a node as wire decodes it; All has everything the server sent. driver_info is masked by the server.
type Node struct {
	wire.Node
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (n *Node) UnmarshalJSON(b []byte) error { return decodeBoth(b, &n.Node, &n.All) }

// State is the provision state.
func (n *Node) State() metal.State { return metal.State(n.ProvisionState) }

// Label is how a person calls the node: its name, or its UUID if it has none.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	return n.UUID
}

// NodeQuery chooses nodes; zero values do not filter.
type NodeQuery struct {
	ProvisionState metal.State
	Driver         string
	ResourceClass  string
	Owner          string
	Lessee         string
	OSDefinition   string // that they are installed with
	Maintenance    *bool
	Associated     *bool
	SortKey        string
	Descending     bool
	Fields         []string // what to fetch of each node; nil and no Detail: the basic fields
	Detail         bool
	Limit          int // most nodes to return; 0: all
}

func (q NodeQuery) values() url.Values {
	v := url.Values{}
	set := func(k, s string) {
		if s != "" {
			v.Set(k, s)
		}
	}
	flag := func(k string, b *bool) {
		if b != nil {
			v.Set(k, strconv.FormatBool(*b))
		}
	}
	set("provision_state", string(q.ProvisionState))
	set("driver", q.Driver)
	set("resource_class", q.ResourceClass)
	set("owner", q.Owner)
	set("lessee", q.Lessee)
	set("os_definition", q.OSDefinition)
	set("sort_key", q.SortKey)
	set("fields", strings.Join(q.Fields, ","))
	flag("maintenance", q.Maintenance)
	flag("associated", q.Associated)
	if q.Descending {
		v.Set("sort_dir", "desc")
	}
	if q.Detail {
		v.Set("detail", "true")
	}
	// The server's cap is 1000 unless configured; a larger limit is refused by none but capped by all.
	if q.Limit > 0 && q.Limit < 1000 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Nodes lists nodes, following pages.
func (c *Client) Nodes(ctx context.Context, q NodeQuery) ([]Node, error) {
	return list[Node](ctx, c, "/v1/nodes", "nodes", q.values(), q.Limit)
}

// Node gets one node by UUID or name. fault.NotFound if there is none.
func (c *Client) Node(ctx context.Context, ident string) (*Node, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var n Node
	return &n, c.get(ctx, nodePath(ident), nil, &n)
}

// NewNode is what a node is created with. Empty fields are left to the server.
type NewNode struct {
	UUID       string
	Name       string
	Driver     string // required
	DriverInfo secret.Map
	Fields     map[string]any // every other field by its name on the wire: properties, extra, resource_class, …
}

// CreateNode enrols a node. fault.Conflict if UUID or name is taken.
func (c *Client) CreateNode(ctx context.Context, n NewNode) (*Node, error) {
	body := map[string]any{"driver": n.Driver}
	for k, v := range n.Fields {
		body[k] = v
	}
	if n.UUID != "" {
		body["uuid"] = n.UUID
	}
	if n.Name != "" {
		body["name"] = n.Name
	}
	if n.DriverInfo.Len() > 0 {
		body["driver_info"] = n.DriverInfo
	}
	var made Node
	return &made, c.do(ctx, call{method: http.MethodPost, path: "/v1/nodes", body: body, out: &made})
}

// UpdateNode applies changes, all or none. resetInterfaces goes with a change of driver.
func (c *Client) UpdateNode(ctx context.Context, ident string, changes []wire.PatchOp, resetInterfaces bool) (*Node, error) {
	if ident == "" {
		return nil, missing("node")
	}
	q := url.Values{}
	if resetInterfaces {
		q.Set("reset_interfaces", "true")
	}
	var n Node
	return &n, c.do(ctx, call{method: http.MethodPatch, path: nodePath(ident), query: q, body: changes, out: &n})
}

// DeleteNode forgets a node and its ports. fault.Conflict in a state where that is refused.
func (c *Client) DeleteNode(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("node")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: nodePath(ident)})
}

// States is the short view that a waiting program polls.
type States struct {
	ProvisionState       metal.State `json:"provision_state"`
	TargetProvisionState metal.State `json:"target_provision_state"`
	PowerState           metal.Power `json:"power_state"`
	TargetPowerState     metal.Power `json:"target_power_state"`
	LastError            string      `json:"last_error"`
	BootMode             string      `json:"boot_mode"`
	SecureBoot           *bool       `json:"secure_boot"`
}

// States gets a node's states.
func (c *Client) States(ctx context.Context, ident string) (*States, error) {
	var s States
	return &s, c.get(ctx, nodePath(ident, "/states"), nil, &s)
}

// Provision is a verb and what goes with it.
type Provision struct {
	Verb metal.Verb
	// ConfigDrive goes with metal.VerbActive: nil, a string (URL, or base64 of a gzipped ISO) or an object
	// of meta_data, user_data, network_data and vendor_data.
	ConfigDrive any
	// Steps are clean, deploy or service steps, as the verb takes them: a list of objects.
	Steps []any
	// Runbook is the name or UUID of one whose clean or service steps are run, in place of Steps.
	Runbook string
	// NoRamdisk has clean and service steps run without the ramdisk.
	NoRamdisk bool
	// BootRoles are those of the user for whom a service deploys (metal.VerbActive); nil: the caller's own.
	BootRoles []string
	// Secrets are the values that arguments of the steps name as {"secret": "NAME"}.
	Secrets map[string]secret.Secret
	// RescuePassword and RescueKeys (lines of authorized_keys) are of the user of a rescued machine; one of them is needed for
	// metal.VerbRescue.
	RescuePassword secret.Secret
	RescueKeys     []string
	// RescueLimit is how long the rescue ramdisk may take to call; nil: as the server is configured, 0: for ever.
	RescueLimit *time.Duration
	// OS is how an OS definition installs; nil: none does, or the one of the last deployment.
	OS *OSInstall
}

// SetProvision asks for a verb and returns when it is accepted; States tells when it is done.
// fault.BadState if the node's state does not know the verb, fault.Locked if another operation runs.
func (c *Client) SetProvision(ctx context.Context, ident string, p Provision) error {
	if p.OS.hides() && !c.sheltered() {
		return fault.New(fault.Invalid, "private and secret values would go to %s over plain http, where others can read them: use an https endpoint", c.base.Host)
	}
	body := map[string]any{"target": string(p.Verb)}
	if p.ConfigDrive != nil {
		body["configdrive"] = p.ConfigDrive
	}
	if len(p.Steps) > 0 {
		key := "deploy_steps"
		switch p.Verb {
		case metal.VerbClean:
			key = "clean_steps"
		case metal.VerbService:
			key = "service_steps"
		}
		body[key] = p.Steps
	}
	if p.Runbook != "" {
		body["runbook"] = p.Runbook
	}
	if p.NoRamdisk {
		body["disable_ramdisk"] = true
	}
	if p.BootRoles != nil {
		body["boot_roles"] = p.BootRoles
	}
	if len(p.Secrets) > 0 {
		values := map[string]string{}
		for name, v := range p.Secrets {
			values[name] = v.Expose() // to the server, which keeps them in memory only
		}
		body["secrets"] = values
	}
	if !p.RescuePassword.Empty() {
		body["rescue_password"] = p.RescuePassword.Expose() // to the server, which hashes it at once
	}
	if len(p.RescueKeys) > 0 {
		body["rescue_ssh_keys"] = p.RescueKeys
	}
	if p.RescueLimit != nil {
		body["rescue_callback_timeout"] = int(*p.RescueLimit / time.Second)
	}
	p.OS.into(body)
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/states/provision"), body: body})
}

// SetPower asks for a power state and returns when it is accepted. timeout 0 leaves the limit to the server.
func (c *Client) SetPower(ctx context.Context, ident string, target metal.Power, timeout time.Duration) error {
	body := map[string]any{"target": string(target)}
	if timeout > 0 {
		body["timeout"] = max(1, int(timeout.Seconds()))
	}
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/states/power"), body: body})
}

// SetBootMode asks for metal.UEFI or metal.BIOS and returns when it is accepted.
func (c *Client) SetBootMode(ctx context.Context, ident, mode string) error {
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/states/boot_mode"), body: map[string]any{"target": mode}})
}

// SetSecureBoot asks for Secure Boot to be on or off and returns when it is accepted.
func (c *Client) SetSecureBoot(ctx context.Context, ident string, on bool) error {
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/states/secure_boot"), body: map[string]any{"target": on}})
}

// SetMaintenance puts a node into maintenance, with a reason, or takes it out.
func (c *Client) SetMaintenance(ctx context.Context, ident string, on bool, reason string) error {
	if !on {
		return c.do(ctx, call{method: http.MethodDelete, path: nodePath(ident, "/maintenance")})
	}
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/maintenance"), body: map[string]any{"reason": reason}})
}

// Validation is what one interface says about a node. A nil Result means it has nothing to check.
type Validation struct {
	Result *bool  `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// Validate asks every interface whether the node could be worked on, by interface kind.
func (c *Client) Validate(ctx context.Context, ident string) (map[string]Validation, error) {
	out := map[string]Validation{}
	return out, c.get(ctx, nodePath(ident, "/validate"), nil, &out)
}

// BootDevice reads what the machine boots from.
func (c *Client) BootDevice(ctx context.Context, ident string) (metal.BootDevice, error) {
	var d metal.BootDevice
	err := c.get(ctx, nodePath(ident, "/management/boot_device"), nil, &d)
	return d, err
}

// SetBootDevice chooses what the machine boots from.
func (c *Client) SetBootDevice(ctx context.Context, ident string, d metal.BootDevice) error {
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/management/boot_device"), body: d})
}
