package depot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

// BootFunc gives what one boot of a node's ramdisk is told, and its kernel_append_params. It is asked at
// every request, by several goroutines, and must read from the store: it is what keeps an offer good over
// a restart. A boot that is over is fault.NotFound.
type BootFunc func(ctx context.Context, node, generation string) (agentapi.BootConfig, string, error)

// Options are what a depot is made of.
type Options struct {
	Key  secret.Secret // signs addresses; at least MinKeyLength bytes, the same after a restart
	Boot BootFunc      // nil: no boot ISOs
	// RoleDirs are the ramdisk folders of roles that have one of their own; other roles are served from that of New.
	RoleDirs         map[agentapi.Role]string
	AllowedFileRoots []string     // absolute; local images must lie below one; none: no local images
	MaxRequests      int          // at once; 0: 512. More are answered 503.
	Log              *slog.Logger // nil: none
}

// Depot offers files and serves what it offered. It is safe for many goroutines.
type Depot struct {
	folders map[agentapi.Role]*folder // those of Options.RoleDirs and the one of New; never changed
	o       Options
	signer  *signer
	log     *slog.Logger
	gate    chan struct{} // holds one token per running request
	meter   meter
	pins    pins
}

// New makes a depot that serves boot ISOs from the ramdisk folder dir. The folder may be empty still, and
// be built or rebuilt while the depot runs.
func New(dir string, o Options) (*Depot, error) {
	s, err := newSigner(o.Key)
	if err != nil {
		return nil, err
	}
	for _, root := range o.AllowedFileRoots {
		if !filepath.IsAbs(root) {
			return nil, fmt.Errorf("the folder %q for local images is not an absolute path", root)
		}
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = 512
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Depot{folders: folders(dir, o.RoleDirs), o: o, signer: s, log: log, gate: make(chan struct{}, o.MaxRequests),
		meter: meter{used: map[string]*usage{}}, pins: pins{at: map[string]pin{}}}, nil
}

// Close closes the templates. No request may be running.
func (d *Depot) Close() error {
	var errs []error
	for _, f := range d.folders {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// Offer is one thing that may be fetched: the boot ISO of a node's boot, or the local file at Path.
type Offer struct {
	Node       string        // with Generation: a boot ISO
	Generation string        // of the boot; another boot of the node has another
	Role       agentapi.Role // of the boot: which ramdisk
	Path       string        // absolute path of a local image, instead of Node and Generation
	Name       string        // of the local image, the last part of its address; "": the path's
	Expires    time.Time     // when the address stops being good
	MaxFetches int           // how many times the whole file's bytes may be sent; 0: no limit
}

// segment is what may stand between two slashes of an address without being escaped.
var segment = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// Offer gives the address of what is offered, as a path to be put behind the boot URL. It is a secret:
// who has it may fetch. The same offer has the same address. BMCs read an ISO in many small ranges, some
// of them twice: allow for a few fetches. Errors: fault.Invalid for names that cannot be in an address,
// those of BootISO, and those of a local image that may not be served (fault.Forbidden, fault.NotFound).
func (d *Depot) Offer(o Offer) (string, error) {
	if o.MaxFetches < 0 || o.Expires.IsZero() {
		return "", fault.New(fault.Invalid, "An offer needs a time of expiry and a limit that is not negative.")
	}
	limits := terms{expires: o.Expires, fetches: o.MaxFetches}.String()
	if o.Path != "" {
		return d.offerFile(o, limits)
	}
	if !segment.MatchString(o.Node) || !segment.MatchString(o.Generation) {
		return "", fault.New(fault.Invalid, "Node %q and boot %q cannot be part of an address.", o.Node, o.Generation)
	}
	t, err := d.BootISO(o.Role)
	if err != nil {
		return "", err
	}
	signature := d.signer.signature("boot", o.Node, o.Generation, limits, t.id)
	return "/boot/" + o.Node + "/" + o.Generation + "/" + limits + "/" + signature + "/boot.iso", nil
}

func (d *Depot) offerFile(o Offer, limits string) (string, error) {
	name := o.Name
	if name == "" {
		name = filepath.Base(o.Path)
	}
	if !segment.MatchString(name) {
		name = "image"
	}
	f, err := d.openFile(o.Path)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	id := d.signer.hide(o.Path)
	return "/files/" + id + "/" + limits + "/" + d.signer.signature("file", id, limits, name) + "/" + name, nil
}
