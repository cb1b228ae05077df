package api

import (
	"regexp"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// nodeView turns nodes into what one request shows of them. It does only what its shape needs.
type nodeView struct {
	c          *call
	base       string
	links      bool
	subLinks   bool
	conductor  bool
	driverInfo bool
	instance   bool
	internal   bool
	showTraits bool
	traits     map[int64][]string // by the node's row
	passwords  bool               // the caller may see those in driver_info
	secrets    bool               // and those in instance_info
}

// load reads once for all nodes what is not in their rows.
func (v *nodeView) load(nodes ...*metal.Node) (err error) {
	if v.showTraits && len(nodes) > 0 {
		v.traits, err = v.c.s.TraitsOf(v.c.r.Context(), nodes)
	}
	return err
}

func (c *call) newNodeView(shape wire.Shape[wire.Node]) *nodeView {
	return &nodeView{c: c, base: c.base(), passwords: c.rights.Allows("show_password", policy.Target{}),
		secrets: c.rights.Allows("show_instance_secrets", policy.Target{}), links: shape.Has("links"), subLinks: shape.Has("ports"),
		conductor: shape.Has("conductor") || c.param("conductor") != "", driverInfo: shape.Has("driver_info"),
		instance: shape.Has("instance_info"), internal: shape.Has("driver_internal_info"), showTraits: shape.Has("traits")}
}

// ofObject tells whether a field shows an object of the node, or something that is kept in one.
func ofObject(f wire.Field[wire.Node]) bool {
	return f.Type == wire.Object || strings.HasSuffix(f.Name, "_interface")
}

// of is the node as the caller may see it, with every secret masked from who may not.
func (v *nodeView) of(n *metal.Node) (wire.Node, error) {
	w := wire.Node{
		UUID: n.UUID, Name: n.Name, Driver: n.Driver, Traits: v.traits[n.ID], Properties: n.Properties, Extra: n.Extra,
		InstanceUUID: n.InstanceUUID, InstanceName: n.InstanceName, ChassisUUID: n.ChassisUUID, Shard: n.Shard, ParentNode: n.ParentNode, Health: n.Health,
		ProvisionState: string(n.ProvisionState), TargetProvisionState: string(n.TargetProvisionState),
		ProvisionUpdatedAt: wire.Time{Time: n.ProvisionUpdatedAt}, PowerState: string(n.PowerState), TargetPowerState: string(n.TargetPowerState),
		LastError: n.LastError, Reservation: n.Reservation, Maintenance: n.Maintenance, MaintenanceReason: n.MaintenanceReason, Fault: n.Fault,
		CleanStep: n.CleanStep, DeployStep: n.DeployStep, ServiceStep: n.ServiceStep,
		BootInterface: n.Interfaces["boot"], ConsoleInterface: n.Interfaces["console"], DeployInterface: n.Interfaces["deploy"],
		InspectInterface: n.Interfaces["inspect"], ManagementInterface: n.Interfaces["management"], PowerInterface: n.Interfaces["power"],
		RAIDInterface: n.Interfaces["raid"], VendorInterface: n.Interfaces["vendor"], NetworkInterface: n.Interfaces["network"],
		StorageInterface: n.Interfaces["storage"], RescueInterface: n.Interfaces["rescue"], BIOSInterface: n.Interfaces["bios"],
		FirmwareInterface: n.Interfaces["firmware"],
		ResourceClass:     n.ResourceClass, ConductorGroup: n.ConductorGroup, AutomatedClean: n.AutomatedClean,
		Protected: n.Protected, ProtectedReason: n.ProtectedReason, Owner: n.Owner, Lessee: n.Lessee, Description: n.Description,
		Retired: n.Retired, RetiredReason: n.RetiredReason, NetworkData: n.NetworkData, ConsoleEnabled: n.ConsoleEnabled,
		RAIDConfig: n.RAIDConfig, TargetRAIDConfig: n.TargetRAIDConfig, BootMode: n.BootMode, SecureBoot: n.SecureBoot,
		InspectionStartedAt: wire.Time{Time: n.InspectionStartedAt}, InspectionFinishedAt: wire.Time{Time: n.InspectionFinishedAt},
		AllocationUUID: n.AllocationUUID, DisablePowerOff: n.DisablePowerOff, CreatedAt: wire.Time{Time: n.CreatedAt}, UpdatedAt: wire.Time{Time: n.UpdatedAt},
	}
	if v.driverInfo {
		if err := v.c.loadConductors(); err != nil {
			return w, err
		}
		shows := v.c.shows(n.Driver)
		if v.passwords {
			shows = everything
		}
		if w.DriverInfo = n.DriverInfo.Masked(shows); !v.c.rights.Allows("show_password", policy.Target{}) {
			for key, value := range w.DriverInfo {
				w.DriverInfo[key] = maskValue(value)
			}
		}
	}
	mask := maskSecrets
	if (v.instance && !v.secrets || v.internal && !v.passwords) && !v.c.rights.Allows("node:update_instance_info", policy.Target{NodeOwner: n.Owner, NodeLessee: n.Lessee}) {
		mask = maskUnsigned // who may say what is installed sees the address as it was given: clients compare it with what they want
	}
	if v.instance {
		if v.secrets {
			w.InstanceInfo = n.InstanceInfo.Masked(everything)
		} else {
			w.InstanceInfo = mask(n.InstanceInfo.Masked(showsInstance))
		}
	}
	if v.internal {
		w.DriverInternalInfo = n.InternalInfo
		if !v.passwords {
			w.DriverInternalInfo = mask(n.InternalInfo)
		}
	}
	path := "nodes/" + n.UUID
	if v.links {
		w.Links = wire.Links(v.base, path)
	}
	if v.subLinks {
		w.Ports, w.States = wire.Links(v.base, path+"/ports"), wire.Links(v.base, path+"/states")
		w.Portgroups, w.Volume = wire.Links(v.base, path+"/portgroups"), wire.Links(v.base, path+"/volume")
	}
	if v.conductor {
		name, err := v.c.conductorOf(n)
		if err != nil {
			return w, err
		}
		w.Conductor = name
	}
	redact(v.c.rights, n, &w)
	w.At(v.c.minor)
	return w, nil
}

// conductorOf is who looks after a node: the holder of its operation, else the first live conductor of its
// group that knows its driver. Any of them may take its next operation.
func (c *call) conductorOf(n *metal.Node) (string, error) {
	if n.Reservation != "" {
		return n.Reservation, nil
	}
	if err := c.loadConductors(); err != nil {
		return "", err
	}
	for _, k := range c.conductors {
		if k.Alive && k.Group == n.ConductorGroup && slices.Contains(k.Drivers, n.Driver) {
			return k.Hostname, nil
		}
	}
	return "", nil
}

// loadConductors reads the conductors once for a request: they tell who looks after a node and which keys of
// driver_info may be shown.
func (c *call) loadConductors() (err error) {
	if c.conductors == nil {
		c.conductors, err = c.s.Conductors(c.r.Context())
	}
	return err
}

// shows tells which driver_info keys of a driver may be shown, as its live conductors say: nothing, of a
// driver that none of them knows.
func (c *call) shows(driver string) func(key string) bool {
	for _, k := range c.conductors {
		for _, t := range k.Types {
			if k.Alive && t.Name == driver {
				return t.Shows
			}
		}
	}
	return func(string) bool { return false }
}

// showsInstance refuses the keys of instance_info that are never shown. Source: RBAC reference, "Masking".
func showsInstance(key string) bool {
	return key != "configdrive" && key != "image_url" && !secretKey(key)
}

// secretKey tells whether a key looks secret. Source: RBAC reference, "Masking".
func secretKey(key string) bool { return metal.SecretLooking(key) }

var userInfo = regexp.MustCompile(`://([^/@\s:]*):[^/@\s]+@`)

// inline is a secret inside a text: password=x, "token": "x", --secret x. Source: RBAC reference, "Masking".
var inline = regexp.MustCompile(`(?i)((?:` + strings.Join(metal.SecretWords(), "|") + `)[\w-]*["']?(?:\s*[=:]\s*["']?|[ \t]+["']))[^\s"'&,;}]+`)

// maskSecrets gives a copy of m with the values of secret-looking keys masked, at any depth, and passwords
// in URLs, which upstream shows.
func maskSecrets(m map[string]any) map[string]any { return maskedBy(m, maskText) }

// maskUnsigned is maskSecrets for who only reads: without the signatures of URLs, too.
func maskUnsigned(m map[string]any) map[string]any {
	return maskedBy(m, func(text string) string { return metal.Unsigned(maskText(text)) })
}

func maskValue(v any) any { return valueMaskedBy(v, maskText) }

// maskedBy masks the values of secret-looking keys, and inside of texts what the func masks.
func maskedBy(m map[string]any, text func(string) string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if secretKey(k) && v != nil {
			out[k] = secret.Mask
			continue
		}
		out[k] = valueMaskedBy(v, text)
	}
	return out
}

func valueMaskedBy(v any, text func(string) string) any {
	switch v := v.(type) {
	case map[string]any:
		return maskedBy(v, text)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = valueMaskedBy(v[i], text)
		}
		return out
	case string:
		return text(v)
	}
	return v
}

// maskText masks the passwords in a text's URLs, and what is named as a secret in it.
func maskText(v string) string {
	if strings.Contains(v, "://") && strings.Contains(v, "@") {
		v = userInfo.ReplaceAllString(v, "://${1}:"+secret.Mask+"@")
	}
	if secretKey(v) {
		v = inline.ReplaceAllString(v, "${1}"+secret.Mask)
	}
	return v
}
