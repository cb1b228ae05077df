package bmc

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The faults that can be planted. They act on Redfish requests and on what a machine boots; those that a real
// BMC may have for life are habits. Times counts requests, boots, handshakes or whatever the fault strikes.
const (
	RefusePower   = "refuse-power"                    // resets are answered with an error
	RefuseMedia   = "refuse-media"                    // inserting media is answered with an error
	WrongPassword = "wrong-password"                  // every request that needs credentials gets 401
	Hang          = "hang"                            // requests are never answered
	Gone          = "gone"                            // connections are closed without an answer
	Busy          = "503-then-ok"                     // Times requests get 503 (default 3), then all is well
	Slow          = "slow"                            // every answer is late by DelayMS (default 2000)
	SessionLimit  = "session-limit"                   // no session can be made: there are too many
	InPOST        = "refuse-during-post"              // changes are refused, as HPE's iLO does while the machine is in POST
	NewKey        = "new-certificate"                 // handshakes show another certificate than before
	PowerLies     = "power-lies"                      // resets succeed and the power does not change
	PowerWrong    = "power-shown-wrong"               // the power state is shown as its opposite
	MediaEmpty    = "media-insert-accepted-but-empty" // InsertMedia succeeds and the drive stays empty
	StaleMedia    = "media-stale"                     // somebody's old image turns out to be in the empty drive, once
	EjectIgnored  = "media-eject-ignored"             // EjectMedia succeeds and the image stays
	MediaLost     = "media-lost-at-power-on"          // the drive is found empty by the boot it was filled for
	BootIgnored   = "boot-override-ignored"           // the machine boots by its own order, and the override stays
	PatchIgnored  = "setting-ignored"                 // boot mode and Secure Boot: accepted, and forgotten
	NotApplied    = "setting-not-applied"             // the same: accepted and shown, and no boot applies it
	AtReset       = "setting-shown-after-reset"       // habit: the same: accepted, and shown only after the next boot
	NeedsOff      = "setting-needs-power-off"         // habit: the same: refused while the machine is on
	PatchOnly     = "media-patch-only"                // habit: the CD drive has no actions, only PATCH
	NeedTransfer  = "media-needs-transfer"            // habit: InsertMedia wants TransferProtocolType and TransferMethod
	NeedETag      = "etag-required"                   // habit: a PATCH without If-Match gets 428
	NoBootMode    = "boot-mode-refused"               // habit: a PATCH that names BootSourceOverrideMode gets 400
	WholeBoot     = "boot-needs-all-fields"           // habit: a PATCH of Boot without target, enabled and mode gets 400
	NoDatabases   = "secure-boot-no-databases"        // habit: Secure Boot is on or off, and its keys are not shown
	CertRefused   = "certificate-refused"             // adding a certificate to a database is answered with an error
	HostIfRefused = "host-interface-refused"          // habit: the host interface cannot be switched
	HostIfIgnored = "host-interface-ignored"          // the same: accepted, and it stays as it is
	IPMIOn        = "ipmi-over-lan"                   // habit: IPMI over LAN is enabled: it says so, and answers pings
	IPMIUntold    = "ipmi-over-lan-untold"            // habit: the same, and Redfish does not tell of it
	NoSetupLock   = "no-setup-password"               // habit: the firmware takes no setup password by the BMC
	NoTPM         = "no-tpm"                          // habit: there is no TPM
	Unproved      = "firmware-not-proved"             // habit: a part's firmware does not prove what it is
	TellsNothing  = "tells-no-security"               // habit: no host interface, no protocols, no TPM and no proof of firmware is shown
	ImageRemains  = "media-image-remains"             // habit: after an eject the drive still names its image, NotConnected
)

// faultNames are all faults, in the order of their description.
var faultNames = []string{RefusePower, RefuseMedia, WrongPassword, Hang, Gone, Busy, Slow, SessionLimit, InPOST, NewKey,
	PowerLies, PowerWrong, MediaEmpty, StaleMedia, EjectIgnored, MediaLost, BootIgnored, PatchIgnored, NotApplied, AtReset, NeedsOff,
	PatchOnly, NeedTransfer, NeedETag, NoBootMode, WholeBoot, NoDatabases, CertRefused,
	HostIfRefused, HostIfIgnored, NoSetupLock, IPMIOn, IPMIUntold, NoTPM, Unproved, TellsNothing, ImageRemains}

// Fault is one planted failure.
type Fault struct {
	Name string `json:"name"`
	// Times is how often it strikes before it heals. Zero means until it is cleared, for Busy three times.
	Times int `json:"times,omitempty"`
	// DelayMS is the delay of Slow in milliseconds.
	DelayMS int `json:"delay_ms,omitempty"`
}

// FaultNames lists the faults that can be planted.
func FaultNames() []string { return slices.Clone(faultNames) }

// faults holds what is planted.
type faults struct {
	mu      sync.Mutex
	planted []Fault
	changed chan struct{} // closed when the list is replaced: whoever hangs looks again
}

// SetFaults replaces what is planted; without arguments it clears. A name that does not exist is an error
// that lists those that do, and nothing changes.
func (b *BMC) SetFaults(list ...Fault) error { return b.faults.set(list) }

// Faults lists what is planted now. One that has healed is gone from it.
func (b *BMC) Faults() []Fault { return b.faults.list() }

func (f *faults) set(list []Fault) error {
	planted := make([]Fault, 0, len(list))
	for _, x := range list {
		switch {
		case !slices.Contains(faultNames, x.Name):
			return fmt.Errorf("no fault is named %q; there are %s", x.Name, strings.Join(faultNames, ", "))
		case x.Times < 0 || x.DelayMS < 0:
			return fmt.Errorf("fault %q: times and delay_ms cannot be negative", x.Name)
		case x.Name == Busy && x.Times == 0:
			x.Times = 3
		case x.Name == Slow && x.DelayMS == 0:
			x.DelayMS = 2000
		}
		planted = append(planted, x)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planted = planted
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Fault{}, f.planted...)
}

// has tells whether a fault is planted, without spending it.
func (f *faults) has(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.planted, func(x Fault) bool { return x.Name == name })
}

// strike tells whether a fault is planted and spends one of its times.
func (f *faults) strike(name string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.planted, func(x Fault) bool { return x.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	hit := f.planted[i]
	if hit.Times > 0 {
		if f.planted[i].Times--; f.planted[i].Times == 0 {
			f.planted = slices.Delete(f.planted, i, i+1)
		}
	}
	return hit, true
}

// wait gives a channel that is closed at the next change.
func (f *faults) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// disturb applies the faults of the connection. It is done when it returns true: the request has had all
// the answer it gets.
func (b *BMC) disturb(w http.ResponseWriter, r *http.Request) (done bool) {
	if _, ok := b.faults.strike(Gone); ok {
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
	if f, ok := b.faults.strike(Slow); ok {
		b.pause(r.Context(), time.Duration(f.DelayMS)*time.Millisecond)
	}
	changed := b.faults.wait()
	if _, ok := b.faults.strike(Hang); ok {
		select {
		case <-r.Context().Done():
		case <-b.ctx.Done():
		case <-changed:
		}
		panic(http.ErrAbortHandler)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasPrefix(r.URL.Path, sessionsPath) {
		if _, ok := b.faults.strike(InPOST); ok {
			// Source of the id: HPE iLO 5 and 6, github.com/ironcore-dev/metal-operator issue 997.
			writeProblem(w, problem{http.StatusBadRequest, "iLO.2.37.UnableToModifyDuringSystemPOST", "The system is in POST; try again when it is done."})
			return true
		}
	}
	if _, ok := b.faults.strike(Busy); ok {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, problem{http.StatusServiceUnavailable, "ServiceTemporarilyUnavailable",
			"The service is temporarily unavailable. Retry in 1 seconds."})
		return true
	}
	return false
}

// pause lets d pass, less if the caller or the BMC ends.
func (b *BMC) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-b.ctx.Done():
	}
}
