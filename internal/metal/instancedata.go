package metal

import "time"

// VendordataFault is the key in InternalInfo, as callers see it, that says what the vendordata targets of a node's instance failed
// with last. It is kept with the instance, not with the node.
const VendordataFault = "vendordata_fault"

// InstanceData is what a node's instance reads at its first boot, without what is in it.
type InstanceData struct {
	Node      string         `json:"node"`     // UUID
	Instance  string         `json:"instance"` // its instance-id
	Project   string         `json:"project,omitempty"`
	Deploy    string         `json:"deploy"` // UUID of the operation that it was made for
	UpdatedAt time.Time      `json:"updated_at"`
	Fault     string         `json:"vendordata_fault,omitempty"` // what the vendordata targets failed with last, a sentence
	Files     []InstanceFile `json:"files"`
}

// InstanceFile is one file of it.
type InstanceFile struct {
	Path string `json:"path"` // as the instance asks for it by HTTP
	Type string `json:"type"` // its Content-Type
	Size int    `json:"size"` // bytes
}

// VendordataTest is what came of asking the vendordata targets on behalf of a node.
type VendordataTest struct {
	Node     string `json:"node"`
	Instance string `json:"instance"`
	Deployed bool   `json:"deployed"` // the targets were asked as for its last deployment; else as for one by who asks now
	Fatal    bool   `json:"failure_fatal"`
	// Failed tells that a deployment would fail, or that the metadata service answers 503 for vendor_data2.json.
	Failed  bool             `json:"failed"`
	Static  int              `json:"static_size"` // bytes of the static document; 0: there is none
	Targets []VendordataTold `json:"targets"`
}

// VendordataTold is what came of asking one target. Nothing of what it said is here.
type VendordataTold struct {
	Name   string     `json:"name"`
	URL    string     `json:"url"` // without what it keeps secret
	Asked  time.Time  `json:"asked_at"`
	TookMS int64      `json:"took_ms"`
	Status int        `json:"status"` // of HTTP; 0: no reply
	Bytes  int        `json:"bytes"`
	From   string     `json:"from,omitempty"`        // asked, unchanged, kept or stale; "": it failed
	Failed string     `json:"failed,omitempty"`      // a word
	Why    string     `json:"why,omitempty"`         // what the target did, as in "answered with status 500"
	Until  *time.Time `json:"fresh_until,omitempty"` // until when the answer is used without asking again; nil: it is asked each time
}
