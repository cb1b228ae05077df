package neutron

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

const (
	vnicBaremetal = "baremetal"
	// owner is the device_owner of our ports. Source: OpenStack Ironic, ironic/common/neutron.py.
	owner = "baremetal:none"
	// taggedAtOnce is the extension with which ports have their tags from the first moment.
	// Source: OpenStack, neutron-lib, api/definitions/tag_ports_during_bulk_creation.py.
	taggedAtOnce = "tag-ports-during-bulk-creation"
	// portsPages is pages of one list of ports: a node has a few.
	portsPages = 50
)

// label is the name and the tag of the ports that are ours, of one node on the network of one role. Neutron's releases
// before 2023 allow 60 characters in a tag; the longest role leaves one.
func label(node string, role metal.NetworkRole) string { return "ingot:" + string(role) + ":" + node }

// operators are the roles whose ports are ours.
var operators = []metal.NetworkRole{metal.ProvisioningNetwork, metal.CleaningNetwork, metal.RescuingNetwork, metal.InspectionNetwork, metal.ServicingNetwork}

// port is a port of Neutron, with what extensions tell of it.
type port struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	NetworkID string         `json:"network_id"`
	MAC       string         `json:"mac_address"`
	Status    string         `json:"status"`
	DeviceID  string         `json:"device_id"`
	Tags      []string       `json:"tags"`
	FixedIPs  []fixedIP      `json:"fixed_ips"`
	HostID    string         `json:"binding:host_id"`
	VNIC      string         `json:"binding:vnic_type"`
	VIFType   string         `json:"binding:vif_type"`
	Profile   map[string]any `json:"binding:profile"`
	Groups    []string       `json:"security_groups"`
	DHCP      []dhcpOption   `json:"extra_dhcp_opts"`
	MadeAt    string         `json:"created_at"` // "" where Neutron does not tell
	ChangedAt string         `json:"updated_at"`
	AskedAt   time.Time      `json:"-"` // by Neutron's clock; zero: it is as new as it can be
}

type fixedIP struct {
	SubnetID  string `json:"subnet_id"`
	IPAddress string `json:"ip_address,omitempty"`
}

type dhcpOption struct {
	Name    string `json:"opt_name"`
	Value   string `json:"opt_value"`
	Version int    `json:"ip_version,omitempty"`
}

// has tells whether a port has a label, as its name or as a tag.
func (p *port) has(label string) bool {
	return p.Name == label || slices.Contains(p.Tags, label)
}

// attrs are attributes of a port, as they are written.
type attrs map[string]any

// filter chooses ports; a key that is there twice means either.
type filter url.Values

// ToPortListQuery is what the library asks for.
func (f filter) ToPortListQuery() (string, error) { return "?" + url.Values(f).Encode(), nil }

// list asks for ports.
func (d *Driver) list(ctx context.Context, f filter) ([]*port, error) {
	net, err := d.client.service(ctx)
	if err != nil {
		return nil, err
	}
	var out []*port
	pages := 0
	err = ports.List(net, f).EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		var some []*port
		if err := ports.ExtractPortsInto(page, &some); err != nil {
			return false, err
		}
		var asked time.Time
		if p, ok := page.(ports.PortPage); ok {
			asked, _ = http.ParseTime(p.Header.Get("Date"))
		}
		for _, p := range some {
			p.MAC, p.AskedAt = strings.ToLower(p.MAC), asked
		}
		out = append(out, some...)
		pages++
		return pages < portsPages, nil
	})
	if err != nil {
		return nil, refused(ctx, err, "list ports")
	}
	return out, nil
}

// vif asks for the port of a node's user by UUID, or by a name that only it has; nil for none.
func (d *Driver) vif(ctx context.Context, id string) (*port, error) {
	by := filter{"id": {id}}
	if !isUUID(id) {
		by = filter{"name": {id}}
	}
	found, err := d.list(ctx, by)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if len(found) > 1 {
		return nil, fault.New(fault.Invalid, "Neutron has more than one port with the name %s: name the VIF by its UUID.", id)
	}
	return found[0], nil
}

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// owned are the ports of ours that a node has on the networks of some roles, by their tags and by their names.
func (d *Driver) owned(ctx context.Context, node string, roles ...metal.NetworkRole) ([]*port, error) {
	var labels []string
	for _, role := range roles {
		labels = append(labels, label(node, role))
	}
	out, err := d.list(ctx, filter{"name": labels})
	if err != nil {
		return nil, err
	}
	tagged, err := d.list(ctx, filter{"tags-any": {strings.Join(labels, ",")}})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range out {
		seen[p.ID] = true
	}
	for _, p := range tagged {
		if !seen[p.ID] && p.hasAny(labels) { // a Neutron without tags takes the filter for nothing
			out = append(out, p)
		}
	}
	return out, nil
}

func (p *port) hasAny(labels []string) bool {
	return slices.ContainsFunc(labels, p.has)
}

// create makes a port, with its label for a tag. It is found by its name from the first moment; the tag follows at once, or
// with the next look.
func (d *Driver) create(ctx context.Context, a attrs, tag string) (*port, error) {
	net, err := d.client.service(ctx)
	if err != nil {
		return nil, err
	}
	atOnce, err := d.tagsAtOnce(ctx)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Port  *port
		Ports []*port
	}
	body := map[string]any{"port": a}
	if atOnce {
		a["tags"] = []string{tag}
		body = map[string]any{"ports": []attrs{a}}
	}
	if _, err := net.Post(ctx, net.ServiceURL("ports"), body, &answer, nil); err != nil {
		return nil, refused(ctx, err, "make a port for NIC %s", a["mac_address"])
	}
	if len(answer.Ports) == 1 {
		answer.Port = answer.Ports[0]
	}
	if answer.Port == nil || answer.Port.ID == "" {
		return nil, fault.New(fault.Unavailable, "Neutron said that it made a port for NIC %s, and not which.", a["mac_address"])
	}
	answer.Port.MAC = strings.ToLower(answer.Port.MAC)
	return answer.Port, d.tag(ctx, answer.Port, tag)
}

// tag tags a port that is not tagged yet.
func (d *Driver) tag(ctx context.Context, p *port, tag string) error {
	if slices.Contains(p.Tags, tag) {
		return nil
	}
	net, err := d.client.service(ctx)
	if err != nil {
		return err
	}
	err = attributestags.Add(ctx, net, "ports", p.ID, tag).ExtractErr()
	if err == nil || is(err, http.StatusNotFound) { // a Neutron without tags; or the port is gone, which the next look tells
		return nil
	}
	return refused(ctx, err, "tag port %s", p.ID)
}

// tagsAtOnce tells whether Neutron tags ports as it makes them. It is asked once.
func (d *Driver) tagsAtOnce(ctx context.Context) (bool, error) {
	if known := d.atOnce.Load(); known != nil {
		return *known, nil
	}
	net, err := d.client.service(ctx)
	if err != nil {
		return false, err
	}
	var answer any
	_, err = net.Get(ctx, net.ServiceURL("extensions", taggedAtOnce), &answer, nil)
	if err != nil && !is(err, http.StatusNotFound) {
		return false, refused(ctx, err, "tell its extensions")
	}
	yes := err == nil
	d.atOnce.Store(&yes)
	return yes, nil
}

// update changes a port; gone: there is none.
func (d *Driver) update(ctx context.Context, id string, a attrs) (gone bool, err error) {
	net, err := d.client.service(ctx)
	if err != nil {
		return false, err
	}
	_, err = net.Put(ctx, net.ServiceURL("ports", id), map[string]any{"port": a}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}})
	if is(err, http.StatusNotFound) {
		return true, nil
	}
	if err != nil {
		return false, refused(ctx, err, "change port %s", id)
	}
	return false, nil
}

// remove deletes ports; those that are gone are as good.
func (d *Driver) remove(ctx context.Context, some []*port) error {
	net, err := d.client.service(ctx)
	if err != nil {
		return err
	}
	for _, p := range some {
		if err := ports.Delete(ctx, net, p.ID).ExtractErr(); err != nil && !is(err, http.StatusNotFound) {
			return refused(ctx, err, "delete port %s", p.ID)
		}
	}
	return nil
}

// network is a network of Neutron.
type network struct {
	ID       string    `json:"id"`
	Physical string    `json:"provider:physical_network"`
	Segments []segment `json:"segments"`
}

type segment struct {
	Physical string `json:"provider:physical_network"`
}

// find is the network with a UUID or a name that only it has.
func (d *Driver) find(ctx context.Context, what, name string) (*network, error) {
	net, err := d.client.service(ctx)
	if err != nil {
		return nil, err
	}
	by := []url.Values{{"name": {name}}}
	if isUUID(name) {
		by = []url.Values{{"id": {name}}, {"name": {name}}}
	}
	for _, query := range by {
		pages, err := networks.List(net, networkFilter(query)).AllPages(ctx)
		var found []*network
		if err == nil {
			err = networks.ExtractNetworksInto(pages, &found)
		}
		switch {
		case err != nil:
			return nil, refused(ctx, err, "find the %s %s", what, name)
		case len(found) > 1:
			ids := make([]string, len(found))
			for i, one := range found {
				ids[i] = one.ID
			}
			return nil, fault.New(fault.Invalid, "Neutron has more than one network with the name %s (%s): name the %s by its UUID.", name, strings.Join(ids, ", "), what)
		case len(found) == 1:
			return found[0], nil
		}
	}
	return nil, fault.New(fault.Invalid, "Neutron has no network with the name or UUID %s, which is the %s.", name, what)
}

// networkFilter chooses networks.
type networkFilter url.Values

// ToNetworkListQuery is what the library asks for.
func (q networkFilter) ToNetworkListQuery() (string, error) { return "?" + url.Values(q).Encode(), nil }
