package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// vendordata makes what an instance reads beside what its user gave: a document of the operator's, a target, and another that answers
// every question with an error that repeats it. It gives the lines of the configuration.
func (g *aviary) vendordata() (lines []string) {
	g.t.Helper()
	g.vendor = newVendorTarget(g.t, "vault")
	static := filepath.Join(g.dir, "static.json")
	g.write(static, fmt.Sprintf(`{"pin": %q, "word": %q}`, g.plant("static vendordata"), witness))
	g.learn(g.vendor.password)
	g.learn(g.vendor.secret)
	repeats := strings.Replace(g.parrot.URL, "://", "://us:"+g.plant("password in the URL of parrot")+"@", 1)
	return []string{"[api]", "vendordata_providers = StaticJSON,DynamicJSON", "vendordata_jsonfile_path = " + static, "vendordata_dynamic_allow_http_auth = true",
		"vendordata_dynamic_targets = " + g.vendor.entry() + ",parrot@" + repeats,
		"[metadata]", "trust_user_addresses = true"} // the node is a project's
}

// The addresses on loopback from which the instance asks, and from which somebody else does.
const (
	cagedAddress = "127.66.1.10"
	strangers    = "127.66.1.99"
)

// instanceNetwork is the instance's network data.
func (g *aviary) instanceNetwork() object {
	return object{"links": []any{object{"id": "l", "type": "phy", "ethernet_mac_address": g.machine.MACs()[0], "mtu": 1500}},
		"networks": []any{object{"id": "n", "type": "ipv4", "link": "l", "network_id": "n", "ip_address": cagedAddress, "netmask": "255.255.255.0"}}, "services": []any{}}
}

// instance asks for all that the service has of the instance, from its own address and from another, well and badly.
func (g *aviary) instance() {
	g.t.Helper()
	got := ""
	for _, version := range strings.Fields(g.told(cagedAddress, "/openstack", nil, 200)) {
		for _, name := range strings.Fields(g.told(cagedAddress, "/openstack/"+version, nil, 200)) {
			got += g.told(cagedAddress, "/openstack/"+version+"/"+name, nil, 200)
		}
	}
	got += g.told(cagedAddress, "/latest/user-data", nil, 200)
	holds(g.t, "what the instance is told", got, witness)
	for _, name := range []string{"user data", "answer of vault", "static vendordata"} {
		if !strings.Contains(got, string(g.begin(name))) {
			g.t.Errorf("the instance is not told the %s: that nobody else is shows nothing", name)
		}
	}
	forged := http.Header{"X-Instance-Id": {g.uuid("real")}, "X-Tenant-Id": {"red"}, "X-Instance-Id-Signature": {g.plant("forged signature of an instance's id")},
		"X-Forwarded-For": {cagedAddress}}
	for _, path := range []string{"/", "/openstack", "/openstack/latest/meta_data.json", "/openstack/latest/user_data", "/openstack/latest/vendor_data2.json", "/latest/user-data", "/none"} {
		for _, header := range []http.Header{nil, forged} {
			status := http.StatusServiceUnavailable // Neutron may know whose address it is, and is the parrot here
			if path == "/" {
				status = http.StatusOK
			}
			g.clean("what somebody else is told of "+path, []byte(g.told(strangers, path, header, status)))
		}
	}
}

// told asks the metadata service from an address.
func (g *aviary) told(from, path string, header http.Header, want int) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.metadata()+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := c.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		g.t.Fatalf("%s, asked from %s: %s %v", path, from, res.Status, err)
	}
	g.clean("the headers of the answer to "+path, fmt.Append(nil, res.Header))
	return string(b)
}
