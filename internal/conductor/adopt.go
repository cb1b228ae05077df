package conductor

import (
	"context"
	"regexp"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// adoptPlan is the order of work behind "adopt": a machine that runs already, deployed by somebody else, is
// taken over as it is. It is not switched, not booted, not written to; nothing but our records changes.
var adoptPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: []step{
		{name: "check driver info", class: repeatable, run: (*runner).checkDriverInfo, limit: time.Minute},
		{name: "check instance", class: repeatable, run: (*runner).checkInstance, limit: time.Minute},
		{name: "finish adoption", class: repeatable, run: (*runner).adopted, limit: time.Minute},
	},
}

// plausible is what an image's name may look like: a URL, an absolute path, a UUID, or an OCI reference. It is
// not fetched: the instance may outlive its image.
var plausible = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://\S+|/\S+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[\w.-]+(:\d+)?/[\w./-]+([:@]\S+)?)$`)

// checkInstance sees that the node says what runs on it: what a rebuild would write, or how it boots.
func (r *runner) checkInstance(_ context.Context, op *Op) (Outcome, error) {
	info := op.Node.InstanceInfo.Expose()
	text := func(key string) string { s, _ := info[key].(string); return strings.TrimSpace(s) }
	image := text("image_source")
	switch {
	case image != "" && !plausible.MatchString(image):
		return Outcome{}, fault.New(fault.Invalid, "instance_info/image_source is no URL, no path, no UUID and no image reference: set it to what the instance was made of")
	case image == "" && text("boot_iso") == "" && (text("kernel") == "" || text("ramdisk") == ""):
		return Outcome{}, fault.New(fault.Invalid, "instance_info says nothing of what runs there: set image_source to what the instance was made of, "+
			"or boot_iso, or kernel and ramdisk, to what it boots")
	}
	return done, nil
}

func (r *runner) adopted(_ context.Context, op *Op) (Outcome, error) {
	whole := op.Node.InstanceInfo.Public("image_type") != "partition" && op.Node.InstanceInfo.Public("kernel") == ""
	op.Change(func(n *metal.Node) {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo["is_whole_disk_image"] = whole
	})
	return done, nil
}
