package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestNoHost: a node whose driver no live conductor serves is 404 in actions and 400 where it is made, changed or given
// VIFs and virtual media; what needs no conductor works. Source: rest-api reference §1.5 and §3.
func TestNoHost(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	r.force("web-1", func(n *metal.Node) { n.Driver, n.ProvisionState = "nowhere", metal.Manageable })
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{post, "/v1/nodes", `{"driver": "nowhere"}`, 400},
		{patch, "/v1/nodes/web-1", `[{"op": "add", "path": "/driver", "value": "elsewhere"}]`, 400},
		{get, "/v1/nodes/web-1/vifs", "", 400},
		{post, "/v1/nodes/web-1/vifs", `{"id": "vif-1"}`, 400},
		{del, "/v1/nodes/web-1/vifs/vif-1", "", 400},
		{get, "/v1/nodes/web-1/vmedia", "", 400},
		{post, "/v1/nodes/web-1/vmedia", `{"device_type": "cdrom", "image_url": "http://192.0.2.1/x.iso"}`, 400},
		{del, "/v1/nodes/web-1/vmedia", "", 400},
		{get, "/v1/nodes/web-1/validate", "", 404},
		{get, "/v1/nodes/web-1/management/boot_device", "", 404},
		{put, "/v1/nodes/web-1/management/boot_device", `{"boot_device": "pxe"}`, 404},
		{put, "/v1/nodes/web-1/management/inject_nmi", `{}`, 404},
		{get, "/v1/nodes/web-1/management/indicators", "", 404},
		{get, "/v1/nodes/web-1/states/console", "", 404},
		{put, "/v1/nodes/web-1/states/console", `{"enabled": true}`, 404},
		{put, "/v1/nodes/web-1/states/raid", `{}`, 404},
		{put, "/v1/nodes/web-1/states/power", `{"target": "power on"}`, 404},
		{put, "/v1/nodes/web-1/states/boot_mode", `{"target": "uefi"}`, 404},
		{put, "/v1/nodes/web-1/states/provision", `{"target": "provide"}`, 404},
		{get, "/v1/nodes/web-1/vendor_passthru/methods", "", 404},
		{put, "/v1/nodes/web-1/maintenance", `{}`, 202},
		{del, "/v1/nodes/web-1/maintenance", "", 202},
		{del, "/v1/nodes/web-1", "", 204},
	} {
		a := r.do(c.method, c.path, 115, c.body)
		if a.StatusCode != c.status || c.status >= 400 && !strings.Contains(string(a.body), "No valid host was found") {
			t.Errorf("%s %s: %d %s; want %d", c.method, c.path, a.StatusCode, a.body, c.status)
		}
	}
}

// TestAttachMedia: the image is the BMC's to fetch, whatever its source is called, and must be where a BMC can get it.
func TestAttachMedia(t *testing.T) {
	r := newRig(t)
	for i, c := range []struct {
		rest   string
		status int
		says   string
	}{
		{`"image_url": "https://192.0.2.1/x.iso"`, 503, ""}, // accepted: nobody works here
		{`"image_url": "HTTP://192.0.2.1/x.iso", "image_download_source": "local"`, 503, ""},
		{`"image_url": "http://192.0.2.1/x.iso", "image_download_source": "http"`, 503, ""},
		{`"image_url": "http://192.0.2.1/x.iso", "image_download_source": "swift"`, 400, "no Swift"},
		{`"image_url": "http://192.0.2.1/x.iso", "image_download_source": "glance"`, 400, "one of http, local, swift"},
		{`"image_url": "nfs://192.0.2.1/x.iso"`, 501, "from nfs shares"},
		{`"image_url": "CIFS://192.0.2.1/x.iso", "image_download_source": "http"`, 501, "from cifs shares"},
		{`"image_url": "smb://192.0.2.1/x.iso"`, 501, "from smb shares"},
		{`"image_url": "file:///srv/x.iso"`, 400, "http or https"},
		{`"image_url": "x.iso"`, 400, "http or https"},
		{`"image_url": "http:///x.iso"`, 400, "http or https"},
	} {
		name := fmt.Sprint("web-", i)
		r.node(name)
		a := r.do(post, "/v1/nodes/"+name+"/vmedia", 89, `{"device_type": "cdrom", `+c.rest+`}`)
		if a.StatusCode != c.status || !strings.Contains(string(a.body), c.says) {
			t.Errorf("%s: %d %s; want %d, %q", c.rest, a.StatusCode, a.body, c.status, c.says)
		}
		if c.status != http.StatusServiceUnavailable {
			continue
		}
		err := r.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(name)
			if err != nil {
				return err
			}
			o, err := tx.LastOperation(n.ID)
			if err != nil {
				return err
			}
			var rec struct{ Ask metal.Ask }
			if err := json.Unmarshal(o.Record, &rec); err != nil {
				return err
			}
			if o.Plan != string(metal.PlanAttachMedia) || rec.Ask.Medium == nil || !strings.HasSuffix(rec.Ask.Medium.URL, "//192.0.2.1/x.iso") {
				return fault.New(fault.Internal, "operation %s with %s", o.Plan, o.Record)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", c.rest, err)
		}
	}
}
