package api

import "ingot/internal/policy"

// partProbes are about what a node has beside its disks.
var partProbes = append([]probe{
	{"node:set_raid_state", put, aNode + "/states/raid", `{}`, nil},
	{"node:get_console", get, aNode + "/states/console", "", nil},
	{"node:set_console_state", put, aNode + "/states/console", `{"enabled": true}`, nil},
	{"node:inject_nmi", put, aNode + "/management/inject_nmi", `{}`, nil},
	{"node:get_indicator_state", get, aNode + "/management/indicators", "", nil},
	{"node:get_indicator_state", get, aNode + "/management/indicators/{indicator=led@chassis}", "", nil},
	{"node:set_indicator_state", put, aNode + "/management/indicators/{indicator=led@chassis}", `{"state": "ON"}`, nil},
	{"node:vmedia:get", get, aNode + "/vmedia", "", nil},
	{"node:vmedia:attach", post, aNode + "/vmedia", `{"device_type": "cdrom", "image_url": "https://192.0.2.1/x.iso", "image_download_source": "http"}`, nil},
	{"node:vmedia:detach", del, aNode + "/vmedia", "", nil},
	{"node:vif:list", get, aNode + "/vifs", "", nil},
	{"node:vif:attach", post, aNode + "/vifs", `{"id": "5c9e3e4d-7a36-4a4c-9d51-7b0a3b4f6d11"}`, nil},
	{"node:vif:detach", del, aNode + "/vifs/{vif=5c9e3e4d-7a36-4a4c-9d51-7b0a3b4f6d11}", "", nil},
	{"node:bios:get", get, aNode + "/bios", "", nil},
	{"node:bios:get", get, aNode + "/bios/{setting=x}", "", nil},
	{"node:firmware:get", get, aNode + "/firmware", "", nil},
	{"node:vendor_passthru", get, aNode + "/vendor_passthru/methods", "", nil},
	{"driver:get_raid_logical_disk_properties", get, "/v1/drivers/{driver=fake-hardware}/raid/logical_disk_properties", "", nil},
	{"driver:vendor_passthru", get, "/v1/drivers/{driver=fake-hardware}/vendor_passthru/methods", "", nil},
}, passthruProbes()...)

// passthruProbes are the vendors' methods, which any method of HTTP may call.
func passthruProbes() (out []probe) {
	for _, of := range []struct {
		at   string
		rule policy.Rule
	}{{aNode, "node:vendor_passthru"}, {"/v1/drivers/{driver=fake-hardware}", "driver:vendor_passthru"}} {
		for _, method := range []string{get, post, put, patch, del} {
			body := `{}`
			if method == get || method == del {
				body = ""
			}
			out = append(out, probe{of.rule, method, of.at + "/vendor_passthru?method=x", body, nil}, probe{of.rule, method, of.at + "/vendor_passthru/{method=x}", body, nil})
		}
	}
	return out
}
