package agentapi

import "encoding/json"

// The commands of installations by OS definition. Each takes an OSWork and runs on a machine that was booted with RoleInstall. They are
// asynchronous, and one of them runs at a time.
const (
	CommandOSVerify  = "os.verify"  // runs the definition's verify, confined, before anything is written
	CommandOSInstall = "os.install" // runs create, and overlays the package: the image was written before, by write_image
	CommandOSExport  = "os.export"  // runs export once for each disk, and sends what it says away
	CommandOSImport  = "os.import"  // runs import once for each disk, with what was fetched
	CommandOSRename  = "os.rename"
)

// OSWork is what scripts of an OS definition are run for and with. It holds private and secret values: it is made when the command is
// sent, and kept nowhere. Errors and results of the commands hold none of them.
type OSWork struct {
	Definition *OSDefinition   `json:"definition,omitempty"` // nil: there are no scripts, only a package
	Machine    OSMachine       `json:"machine"`
	Parameters []OSParameter   `json:"parameters,omitempty"` // of all layers and classes, merged
	Reinstall  bool            `json:"reinstall,omitempty"`
	OldName    string          `json:"old_name,omitempty"` // rename
	Package    *OSPackage      `json:"package,omitempty"`
	Streams    *OSStreams      `json:"streams,omitempty"`   // export and import
	MetaData   json.RawMessage `json:"meta_data,omitempty"` // what the channel answers for meta_data.json; absent: 404
	Timeout    int             `json:"timeout,omitempty"`   // seconds for all of it; 0: none
}

// OSDefinition is a definition as the agent runs it.
type OSDefinition struct {
	Name    string `json:"name"`
	Variant string `json:"variant,omitempty"`
	Digest  string `json:"digest"` // that the bundle must have
	Bundle  []byte `json:"bundle"` // a tar file in canonical form, see internal/osdef
	// Trusted: the scripts outside of untrusted/ run, too, with all rights of the ramdisk.
	Trusted bool `json:"trusted,omitempty"`
	// Unsafe: what would be confined is not. Of trusted definitions only.
	Unsafe bool `json:"unsafe,omitempty"`
}

// OSMachine is what scripts are told of the machine, but for its disks, which the agent knows.
type OSMachine struct {
	Name     string  `json:"name"`
	UUID     string  `json:"uuid"`
	Created  int64   `json:"created"`  // Unix time, seconds
	Modified int64   `json:"modified"` // Unix time, seconds
	Debug    bool    `json:"debug,omitempty"`
	NICs     []OSNIC `json:"nics,omitempty"`
}

// OSNIC is one NIC, and the network that it is on once the machine is its user's. All but MAC and UUID may be empty.
type OSNIC struct {
	MAC     string     `json:"mac"`
	UUID    string     `json:"uuid"`
	Name    string     `json:"name,omitempty"`
	IP      string     `json:"ip,omitempty"`
	Link    string     `json:"link,omitempty"`
	Network *OSNetwork `json:"network,omitempty"`
}

// OSNetwork is a network of a NIC.
type OSNetwork struct {
	Name     string `json:"name,omitempty"`
	UUID     string `json:"uuid,omitempty"`
	Family   string `json:"family,omitempty"`
	Subnet   string `json:"subnet,omitempty"`
	Gateway  string `json:"gateway,omitempty"`
	Subnet6  string `json:"subnet6,omitempty"`
	Gateway6 string `json:"gateway6,omitempty"`
}

// OSParameter is one parameter with its class: public, private or secret.
type OSParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Class string `json:"class"`
}

// OSPackage is a personalization package. Its URL's path says what it is: .tar.gz, .tgz or .tar.zst.
type OSPackage struct {
	URL      string   `json:"url"`
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty"`
	CA       string   `json:"ca,omitempty"`               // PEM that its server must chain to, beside those of the ramdisk
	Refused  []string `json:"refused_networks,omitempty"` // that it is not fetched from
}

// OSStreams says where dumps of disks go to or come from: URL is a folder, with a file disk-N for each disk and manifest.json, an
// OSManifest, which is written last.
type OSStreams struct {
	URL      string   `json:"url"`
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty"`
	CA       string   `json:"ca,omitempty"`
	Refused  []string `json:"refused_networks,omitempty"`
	MaxBytes int64    `json:"max_bytes,omitempty"` // of one dump; 0: no bound
	Replace  bool     `json:"replace,omitempty"`   // an export that is there is overwritten
}

// OSManifest says what an export left, and what an import demands.
type OSManifest struct {
	Version    int      `json:"version"` // 1
	Definition string   `json:"definition"`
	Digest     string   `json:"digest"`
	Variant    string   `json:"variant,omitempty"`
	Disks      []OSDump `json:"disks"`
}

// OSDump is one disk's dump.
type OSDump struct {
	Name     string `json:"name"`      // disk-0
	Bytes    int64  `json:"bytes"`     // of the dump
	SHA256   string `json:"sha256"`    // of the dump, hex
	DiskSize int64  `json:"disk_size"` // bytes of the disk that it is of
}

// OSResult is the result of each of the commands.
type OSResult struct {
	Scripts  []OSScript  `json:"scripts,omitempty"`
	Package  *OSOverlay  `json:"package,omitempty"`
	Manifest *OSManifest `json:"manifest,omitempty"`
}

// OSLogPrefix begins the names of the files among the agent's logs that have all that a script said, one for each start, in their order.
const OSLogPrefix = "os_install-"

// OSScript is what became of one script. Lines are the last of what it said, without private and secret values.
type OSScript struct {
	Name     string   `json:"name"` // its path in the definition
	Confined bool     `json:"confined"`
	Code     int      `json:"code"`
	Seconds  float64  `json:"seconds"`
	Lines    []string `json:"lines,omitempty"`
}

// OSOverlay is what a package left on the machine.
type OSOverlay struct {
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of the package as it was fetched, hex
}

// OSProgress is how far an installation says that it is: the body of a write to the channel, and the unit of Progress is "percent"
// then. Of each stage the percentage never falls.
type OSProgress struct {
	Stage   string `json:"stage"`
	Percent int    `json:"percent"`
	Message string `json:"message,omitempty"`
	// Final ends an installation that reports by the channel alone (execution mode self_install); Code is its exit status.
	Final bool `json:"final,omitempty"`
	Code  int  `json:"code,omitempty"`
}
