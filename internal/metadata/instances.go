package metadata

import (
	"context"
	"encoding/json"
	"net/netip"

	"ingot/internal/fault"
	"ingot/internal/seed"
	"ingot/internal/vendordata"
)

// Mark is an instance as it is at this moment. Nothing of it is private.
type Mark struct {
	Node       string // UUID
	ID         string // its instance-id
	Project    string // whose it is; "" for nobody's
	Generation string // another one whenever what is served changes
	Fault      string // what its vendordata targets failed with, as it is noted now
	Young      bool   // its deployment has not ended: its machine may be installing itself
	Idle       string // why its machine does not run it now, in a few words for the log; "": it does
}

// Instance is what one instance reads.
type Instance struct {
	Mark

	Seed *seed.Seed
	Size int // about how many bytes it takes in memory

	deploy  string // UUID of the operation
	frozen  bool   // its vendor data are those of the seed, for ever
	request vendordata.Request
	answers vendordata.Answers
}

// Instances are where instances are found. Stored is the database.
type Instances interface {
	// At are the instances at an address, which has a zone if it is of one link only. None is no error.
	At(ctx context.Context, a netip.Addr) ([]Mark, error)
	// ByID are those with an instance-id: one, or none.
	ByID(ctx context.Context, id string) ([]Mark, error)
	// ByNode are those of a node: one, or none.
	ByNode(ctx context.Context, uuid string) ([]Mark, error)
	// Open reads an instance. It is ErrChanged if that is not of the mark's generation any more.
	Open(ctx context.Context, m Mark) (*Instance, error)
	// Static is what vendor_data.json is to be now; nil: as in the seed.
	Static(i *Instance) json.RawMessage
	// VendorData2 is what vendor_data2.json is to be now; nil: as in the seed. Without an answer that must be there it is
	// fault.Unavailable.
	VendorData2(ctx context.Context, i *Instance) (json.RawMessage, error)
	// Password is what the instance posted; nil: nothing.
	Password(ctx context.Context, i *Instance) ([]byte, error)
	// SetPassword keeps it. It is fault.Conflict if there is one.
	SetPassword(ctx context.Context, i *Instance, password []byte) error
}

// Addresses know of addresses that Instances do not: those that another service gave out.
type Addresses interface {
	// NodesAt are the UUIDs of the nodes whose instance has an address.
	NodesAt(ctx context.Context, a netip.Addr) ([]string, error)
}

// ErrChanged is what Open gives for an instance that is another one by now, or gone.
var ErrChanged = fault.New(fault.Unavailable, "The instance changes just now; ask again.")
