package metal

import (
	"time"

	"ingot/internal/secret"
)

// Port is one NIC of a node that may be used for provisioning.
type Port struct {
	ID                  int64
	UUID                string
	NodeUUID            string
	PortgroupUUID       string // "" for none
	Address             string // MAC, lower case, colons
	Name                string
	Extra               map[string]any
	InternalInfo        map[string]any
	LocalLinkConnection map[string]any
	PXEEnabled          bool
	PhysicalNetwork     string
	IsSmartNIC          bool
	Description         string
	Vendor              string
	Category            string
	Standalone          bool // no dynamic port group may take it
	CreatedAt           time.Time
	UpdatedAt           time.Time
}

// Portgroup is some NICs of a node that work as one.
type Portgroup struct {
	ID              int64
	UUID            string
	NodeUUID        string
	Address         string // MAC, lower case, colons; "" for none
	Name            string // "" for none; unique otherwise
	Extra           map[string]any
	InternalInfo    map[string]any
	StandalonePorts bool   // its ports may be used one by one, too
	Mode            string // of bonding, e.g. "active-backup"
	Properties      map[string]any
	PhysicalNetwork string
	Category        string
	Dynamic         bool // the network service made it, nobody asked for it here
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// BondMode is the mode of a port group whose creator named none. Source: rest-api reference §5.
const BondMode = "active-backup"

// Chassis is what nodes are built into.
type Chassis struct {
	ID          int64
	UUID        string
	Description string
	Extra       map[string]any
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// VolumeConnector is how a node identifies itself to remote storage.
type VolumeConnector struct {
	ID          int64
	UUID        string
	NodeUUID    string
	Type        string // "iqn", "ip", "mac", "wwnn", "wwpn", …
	ConnectorID string // unique with the type
	Extra       map[string]any
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// VolumeTarget is a remote disk of a node.
type VolumeTarget struct {
	ID         int64
	UUID       string
	NodeUUID   string
	VolumeType string     // "iscsi", "fibre_channel", …
	VolumeID   string     // as the storage calls it
	BootIndex  int        // 0: it is booted from; below: never; unique within the node
	Properties secret.Map // how to reach it and log in; sealed at rest, shown only masked
	Extra      map[string]any
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Shard is how many nodes are in one part of the fleet. Name is "" for those in none.
type Shard struct {
	Name  string
	Nodes int
}
