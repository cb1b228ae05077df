package netboot

import (
	"context"
	"io"
	"net/netip"
	"time"

	"ingot/internal/metal"
)

// Boots tells who may boot what. It is asked at every packet and request, by many goroutines: it must see that a boot is
// over as soon as it is.
type Boots interface {
	// Known is the enrolled machine that a MAC (lower case, colons) is of; nil for a stranger.
	Known(ctx context.Context, mac string) (*Known, error)
	// ByMAC is the current boot of a machine by one of NetworkBoot.MACs; nil without one, and when it has expired.
	ByMAC(ctx context.Context, mac string) (*metal.NetworkBoot, error)
	// ByKey is the current boot that has this key; nil as above. The comparison must not tell by its time how much of
	// a key was right.
	ByKey(ctx context.Context, key string) (*metal.NetworkBoot, error)
	// Loader is the name, below the boot's key, of what this client's firmware boots first. An error says why this
	// boot has none for it: it is for another firmware or architecture, or the loader is missing.
	Loader(ctx context.Context, b *metal.NetworkBoot, c Client) (string, error)
	// Open opens a file of a boot by its name: FileKernel, FileInitramfs, FileScript, FileGrub, FileConfig or the name
	// of a loader, or of what a loader fetches beside itself. Kernel and initramfs were verified. A name that is in no
	// table is fault.NotFound. Opening FileConfig or FileISO gives nothing out yet: that is what Give is for.
	Open(ctx context.Context, b *metal.NetworkBoot, name string, at Place) (File, error)
	// Give is called before the first byte of FileConfig or FileISO goes to an address. It counts and notes that; an error
	// (fault.Conflict) means that it was given out often enough. Of an installer's boot nothing of ours goes out, and it is not called.
	Give(ctx context.Context, b *metal.NetworkBoot, to netip.Addr) error
	// Note keeps for a node's operator what happened to one of its machines here. It must not be slow, and does not
	// fail: it is also called for what a stranger sent.
	Note(ctx context.Context, n Notice)
}

// The files of a boot, beside its loaders.
const (
	FileKernel    = "kernel"
	FileInitramfs = "initramfs"
	FileScript    = "boot.ipxe"
	FileGrub      = "grub.cfg"
	FileConfig    = "config"   // a newc cpio of /ingot/boot.json
	FileISO       = "boot.iso" // a loader: the boot ISO, with that configuration in it; or an installer's, as it is
)

// Known is a NIC of an enrolled machine.
type Known struct {
	NodeUUID string
	NodeName string
	MAC      string
	// Reserved are the addresses that are only for this NIC. One that lies in a network that is served is what the
	// NIC gets there.
	Reserved []netip.Addr
}

// Client is what a firmware told of itself. Source: RFC 4578 section 2.1 and the IANA list of processor architectures.
type Client struct {
	Arch     string // x86_64 or aarch64
	Firmware string // metal.UEFI or metal.BIOS
	HTTP     bool   // it boots over HTTP
}

// Place is where this process serves the files of one boot, as the machine that asks reaches it. There is no slash at the
// end, and "" where it serves them not.
type Place struct {
	HTTP string // http://192.0.2.1/netboot/KEY
	TFTP string // tftp://192.0.2.1/KEY
}

// File is what Open gives. Whoever got it closes it.
type File struct {
	io.ReadSeekCloser

	Size int64
	Time time.Time // of its last change; zero: not known
}

// What is told with Note.
const (
	// NoticeUUID: a machine with a known MAC had another UUID than the node's.
	NoticeUUID = "another UUID"
	// NoticeLoader: there is no loader for this firmware.
	NoticeLoader = "no loader"
	// NoticeExhausted: the range of a network has no address left for it.
	NoticeExhausted = "no address"
	// NoticeConfig: the configuration of a boot was asked for once too often.
	NoticeConfig = "configuration refused"
)

// Notice is something a node's operator should know. The same is told again at each packet: who keeps it keeps one of a
// kind for a while.
type Notice struct {
	NodeUUID string
	Kind     string // NoticeUUID …
	Text     string // a sentence
}
