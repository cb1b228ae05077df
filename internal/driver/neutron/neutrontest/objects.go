package neutrontest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"
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

// Login takes a new token for the calls below.
func (c *Cloud) Login() {
	c.t.Helper()
	c.login(Password)
}

// login takes tokens until one is good: Keystone knows seconds only, and takes none of the second in which it revoked others.
func (c *Cloud) login(password string) {
	c.t.Helper()
	for limit := time.Now().Add(startLimit); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		c.token = ""
		head := c.call(http.MethodPost, c.AuthURL+"/v3/auth/tokens", object{"auth": object{
			"identity": object{"methods": []string{"password"}, "password": object{"user": object{"name": c.User, "domain": object{"id": "default"}, "password": password}}},
			"scope":    object{"project": object{"name": "service", "domain": object{"id": "default"}}}}}, nil)
		c.token = head.Get("X-Subject-Token")
		if c.good(c.token) {
			return
		}
	}
	c.t.Fatal("Keystone gives no token that it takes")
}

// good tells whether Keystone takes a token.
func (c *Cloud) good(token string) bool {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodHead, c.AuthURL+"/v3/auth/tokens", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("X-Subject-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// RevokeAll makes every token of the user worthless, those of others who use it too; the calls below log in again.
func (c *Cloud) RevokeAll() {
	c.t.Helper()
	var found struct{ Users []struct{ ID string } }
	c.call(http.MethodGet, c.AuthURL+"/v3/users?name="+c.User, nil, &found)
	old := c.token
	for _, password := range []string{Password + "2", Password} { // a new password revokes what the old one gave
		c.call(http.MethodPatch, c.AuthURL+"/v3/users/"+found.Users[0].ID, object{"user": object{"password": password}}, nil)
		c.login(password)
	}
	if c.good(old) {
		c.t.Fatal("Keystone still takes a token that is revoked")
	}
}

// Network makes a network with a subnet of each CIDR.
func (c *Cloud) Network(name, physical string, cidrs ...string) string {
	c.t.Helper()
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

// SecurityGroup makes one.
func (c *Cloud) SecurityGroup(name string) string {
	c.t.Helper()
	var made struct {
		Group struct{ ID string } `json:"security_group"`
	}
	c.call(http.MethodPost, c.URL+"/v2.0/security-groups", object{"security_group": object{"name": name}}, &made)
	return made.Group.ID
}

// MakePort makes a port on a network with what more says, and gives its UUID.
func (c *Cloud) MakePort(network string, more map[string]any) string {
	c.t.Helper()
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
	c.t.Helper()
	c.call(http.MethodPut, c.URL+"/v2.0/ports/"+id, object{"port": to}, nil)
}

// DeletePort deletes one.
func (c *Cloud) DeletePort(id string) {
	c.t.Helper()
	c.call(http.MethodDelete, c.URL+"/v2.0/ports/"+id, nil, nil)
}

// Ports lists those that a query chooses, such as {"network_id": {…}}.
func (c *Cloud) Ports(query url.Values) []Port {
	c.t.Helper()
	var found struct{ Ports []Port }
	c.call(http.MethodGet, c.URL+"/v2.0/ports?"+query.Encode(), nil, &found)
	return found.Ports
}

// Port shows one.
func (c *Cloud) Port(id string) Port {
	c.t.Helper()
	found := c.Ports(url.Values{"id": {id}})
	if len(found) != 1 {
		c.t.Fatalf("%d ports with the id %s", len(found), id)
	}
	return found[0]
}

// call speaks to either server as the administrator.
func (c *Cloud) call(method, url string, body, out any) http.Header {
	c.t.Helper()
	var in io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, url, in)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("X-Auth-Token", c.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %s %s\n%s", method, url, resp.Status, text, c.said("neutron"))
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			c.t.Fatal(err)
		}
	}
	return resp.Header
}
