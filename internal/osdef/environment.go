package osdef

import (
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Machine is what scripts are told of the machine that they work on.
type Machine struct {
	Name, UUID        string
	Created, Modified time.Time
	Debug             bool
	Disks             []Disk // the first is the one that is booted from
	NICs              []NIC
}

// Disk is one that scripts may write to.
type Disk struct {
	Path     string // stable: by the disk's own id
	Bytes    int64
	ReadOnly bool
	UUID     string
	Name     string // may be empty
}

// NIC is one of the machine's own.
type NIC struct {
	MAC, UUID string
	Name      string // may be empty
	IP        string // may be empty
	Link      string // the physical network
	Network   *Network
}

// Network is the one that a NIC is on once the machine is its user's.
type Network struct {
	Name, UUID, Family, Subnet, Gateway, Subnet6, Gateway6 string // each may be empty
}

// Run is one start of a script.
type Run struct {
	Action     Action
	Name       string // of the definition
	Variant    string
	Definition *Definition
	Machine    Machine
	Parameters Classes
	Reinstall  bool   // create: on a machine that had an instance
	Disk       int    // export and import: which disk
	SizeFD     int    // export: where the size is written to; 0: nowhere
	OldName    string // rename
}

// Variable is one entry of an environment. Some hold a private or secret value, so all are kept as such.
type Variable struct {
	Name  string
	Value secret.Secret
}

// path is what scripts find programs in. Source: ganeti-os-interface(7).
const searchPath = "/sbin:/bin:/usr/sbin:/usr/bin"

// Environment is all that a script finds in its environment, in order: what is not in it is not there. Values are to be passed as they are,
// never through a shell.
func Environment(r Run) ([]Variable, error) {
	if err := r.Parameters.Bounded(); err != nil {
		return nil, err
	}
	if (r.Action == Export || r.Action == Import) && (r.Disk < 0 || r.Disk >= len(r.Machine.Disks)) {
		return nil, fault.New(fault.Invalid, "There is no disk %d to %s: the machine has %d.", r.Disk, r.Action, len(r.Machine.Disks))
	}
	var e environment
	e.set("PATH", searchPath)
	e.set("OS_API_VERSION", strconv.Itoa(r.Definition.Version))
	e.set("OS_NAME", r.Name)
	e.set("DEBUG_LEVEL", number(r.Machine.Debug))
	variant := r.Variant
	if r.Definition.Version < withVariants {
		variant = ""
	}
	e.set("OS_VARIANT", variant)
	if r.Definition.Version >= withParameters {
		for _, name := range r.Parameters.Names() {
			e.set(variable(name), r.Parameters.value(name))
		}
	}
	if r.Action != Verify { // which judges parameters for whatever machine
		e.machine(r, variant)
		e.action(r)
	}
	for _, v := range e {
		if strings.ContainsRune(v.Value.Expose(), 0) {
			return nil, fault.New(fault.Invalid, "%s has a zero byte, which no environment can hold.", v.Name)
		}
	}
	return e, nil
}

type environment []Variable

func (e *environment) set(name, value string) {
	*e = append(*e, Variable{Name: name, Value: secret.New(value)})
}

// given sets what may be empty: then it is not there.
func (e *environment) given(name, value string) {
	if value != "" {
		e.set(name, value)
	}
}

func (e *environment) machine(r Run, variant string) {
	os := r.Name
	if variant != "" {
		os += "+" + variant
	}
	m := r.Machine
	e.set("INSTANCE_OS", os)
	e.set("INSTANCE_NAME", m.Name)
	e.set("INSTANCE_UUID", m.UUID)
	e.set("INSTANCE_CTIME", strconv.FormatInt(m.Created.Unix(), 10))
	e.set("INSTANCE_MTIME", strconv.FormatInt(m.Modified.Unix(), 10))
	e.set("INSTANCE_PRIMARY_NODE", m.Name)
	e.set("INSTANCE_SECONDARY_NODES", "")
	e.set("HYPERVISOR", "baremetal")
	e.set("DISK_COUNT", strconv.Itoa(len(m.Disks)))
	for i, d := range m.Disks {
		prefix := "DISK_" + strconv.Itoa(i) + "_"
		e.set(prefix+"PATH", d.Path)
		e.set(prefix+"SIZE", strconv.FormatInt(d.Bytes>>20, 10))
		e.set(prefix+"ACCESS", access(d))
		e.given(prefix+"UUID", d.UUID)
		e.given(prefix+"NAME", d.Name)
		e.set(prefix+"BACKEND_TYPE", "block")
	}
	e.set("NIC_COUNT", strconv.Itoa(len(m.NICs)))
	for i, n := range m.NICs {
		e.nic("NIC_"+strconv.Itoa(i)+"_", n)
	}
}

func (e *environment) nic(prefix string, n NIC) {
	e.set(prefix+"MAC", n.MAC)
	e.set(prefix+"UUID", n.UUID)
	e.given(prefix+"NAME", n.Name)
	e.given(prefix+"IP", n.IP)
	e.set(prefix+"MODE", "ext") // cabled to what nobody on the machine manages
	e.set(prefix+"LINK", n.Link)
	if n.Network == nil {
		return
	}
	prefix += "NETWORK_"
	e.given(prefix+"NAME", n.Network.Name)
	e.given(prefix+"UUID", n.Network.UUID)
	e.given(prefix+"FAMILY", n.Network.Family)
	e.given(prefix+"SUBNET", n.Network.Subnet)
	e.given(prefix+"GATEWAY", n.Network.Gateway)
	e.given(prefix+"SUBNET6", n.Network.Subnet6)
	e.given(prefix+"GATEWAY6", n.Network.Gateway6)
}

// action sets what one script alone is told.
func (e *environment) action(r Run) {
	switch r.Action {
	case Create:
		if r.Reinstall {
			e.set("INSTANCE_REINSTALL", "1")
		}
	case Rename:
		e.set("OLD_INSTANCE_NAME", r.OldName)
	case Export, Import:
		prefix := strings.ToUpper(string(r.Action)) + "_"
		at := r.Machine.Disks[r.Disk].Path
		e.set(prefix+"INDEX", strconv.Itoa(r.Disk))
		e.set(prefix+"DISK_PATH", at)
		e.set(prefix+"DEVICE", at)
		if r.Action == Export && r.SizeFD > 0 {
			e.set("EXP_SIZE_FD", strconv.Itoa(r.SizeFD))
		}
	}
}

func access(d Disk) string {
	if d.ReadOnly {
		return "ro"
	}
	return "rw"
}

func number(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
