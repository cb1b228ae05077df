package neutrontest

import (
	"bytes"
	"net/http"
	"net/url"
)

type object = map[string]any

// Port is a port as Neutron shows it to an administrator.
type Port struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	NetworkID string         `json:"network_id"`
	MAC       string         `json:"mac_address"`
	Status    string         `json:"status"`
	DeviceID  string         `json:"device_id"`
	Owner     string         `json:"device_owner"`
	Tags      []string       `json:"tags"`
	HostID    string         `json:"binding:host_id"`
	VNIC      string         `json:"binding:vnic_type"`
	VIFType   string         `json:"binding:vif_type"`
	Profile   map[string]any `json:"binding:profile"`
	Groups    []string       `json:"security_groups"`
	DHCP      []struct {
		Name  string `json:"opt_name"`
		Value string `json:"opt_value"`
	} `json:"extra_dhcp_opts"`
	FixedIPs []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
}

// Network makes a network with a subnet of each CIDR.
func (c *Cloud) Network(name, physical string, cidrs ...string) string {
	c.T.Helper()
	var made struct{ Network struct{ ID string } }
	c.call(http.MethodPost, c.URL+"/v2.0/networks", object{"network": object{"name": name, "provider:network_type": "vlan", "provider:physical_network": physical}}, &made)
	for _, cidr := range cidrs {
		version := 4
		subnet := object{"network_id": made.Network.ID, "cidr": cidr}
		if bytes.ContainsRune([]byte(cidr), ':') {
			version = 6
			subnet["ipv6_address_mode"], subnet["ipv6_ra_mode"] = "dhcpv6-stateful", "dhcpv6-stateful"
		}
		subnet["ip_version"] = version
		c.call(http.MethodPost, c.URL+"/v2.0/subnets", object{"subnet": subnet}, nil)
	}
	return made.Network.ID
}

// Subnet makes a subnet of a network.
func (c *Cloud) Subnet(network string, more map[string]any) {
	c.T.Helper()
	subnet := object{"network_id": network}
	for k, v := range more {
		subnet[k] = v
	}
	c.call(http.MethodPost, c.URL+"/v2.0/subnets", object{"subnet": subnet}, nil)
}

// SecurityGroup makes one.
func (c *Cloud) SecurityGroup(name string) string {
	c.T.Helper()
	var made struct {
		Group struct{ ID string } `json:"security_group"`
	}
	c.call(http.MethodPost, c.URL+"/v2.0/security-groups", object{"security_group": object{"name": name}}, &made)
	return made.Group.ID
}

// MakePort makes a port on a network with what more says, and gives its UUID.
func (c *Cloud) MakePort(network string, more map[string]any) string {
	c.T.Helper()
	p := object{"network_id": network}
	for k, v := range more {
		p[k] = v
	}
	var made struct{ Port Port }
	c.call(http.MethodPost, c.URL+"/v2.0/ports", object{"port": p}, &made)
	return made.Port.ID
}

// ChangePort changes one.
func (c *Cloud) ChangePort(id string, to map[string]any) {
	c.T.Helper()
	c.call(http.MethodPut, c.URL+"/v2.0/ports/"+id, object{"port": to}, nil)
}

// DeletePort deletes one.
func (c *Cloud) DeletePort(id string) {
	c.T.Helper()
	c.call(http.MethodDelete, c.URL+"/v2.0/ports/"+id, nil, nil)
}

// Ports lists those that a query chooses, such as {"network_id": {…}}.
func (c *Cloud) Ports(query url.Values) []Port {
	c.T.Helper()
	var found struct{ Ports []Port }
	c.call(http.MethodGet, c.URL+"/v2.0/ports?"+query.Encode(), nil, &found)
	return found.Ports
}

// Port shows one.
func (c *Cloud) Port(id string) Port {
	c.T.Helper()
	found := c.Ports(url.Values{"id": {id}})
	if len(found) != 1 {
		c.T.Fatalf("%d ports with the id %s", len(found), id)
	}
	return found[0]
}

// call speaks to either server as the administrator.
func (c *Cloud) call(method, url string, body, out any) http.Header {
	c.T.Helper()
	return c.CallAs(c.AdminToken(), method, url, body, out)
}
