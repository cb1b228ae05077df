package conductor

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// Op is an operation in the hands of a runner: the row, the node as it was last read, and the plan's
// record. A step changes the record and asks for changes of the node; the runner saves both with the
// outcome in one transaction.
type Op struct {
	row     *store.Operation
	Node    *metal.Node
	Ports   []*metal.Port
	Rec     record
	missing []string // the interface kinds whose implementation, as the node names it, this server does not have
	changes []func(*store.Tx, *metal.Node) error
	awaits  store.Awaited                        // what the last outcome awaits of an agent that is polled
	noted   []func(*store.Tx, *metal.Node) error // what was done outside: it is saved also when the step fails
}

// record is all that plans remember between steps. It is sealed at rest.
type record struct {
	Ask metal.Ask `json:"ask"`

	// Decided once, when the operation is first worked on: what the node or the configuration says later is
	// for the next operation. Half a plan under other rules would be worse than either.
	Decided bool `json:"decided,omitempty"`
	Ramdisk bool `json:"ramdisk,omitempty"` // the node's deploy interface boots a ramdisk
	Direct  bool `json:"direct,omitempty"`  // it could boot one: its deploy interface is direct
	Clean   bool `json:"clean,omitempty"`   // its disks are to be erased
	Wired   bool `json:"wired,omitempty"`   // its network interface moves it between networks
	StayOn  bool `json:"stay_on,omitempty"` // after an inspection the machine goes on running

	PollOnly bool `json:"poll_only,omitempty"` // its agent calls nobody and is asked

	Wish      metal.BootWish `json:"wish,omitzero"`        // how the instance wants its machine to boot
	SecureWas bool           `json:"secure_was,omitempty"` // Secure Boot was on before the plan began; for a rescue, and in its way

	Boot       string    `json:"boot,omitempty"`       // boot generation of the ramdisk
	MediaURL   string    `json:"media_url,omitempty"`  // of the boot ISO
	BootBy     string    `json:"boot_by,omitempty"`    // the process that offers it; "": it is not ours
	Pushing    bool      `json:"pushing,omitempty"`    // the boot has its identity and is to be pushed to a boot host
	BootHosts  bool      `json:"boot_hosts,omitempty"` // there are some, which may serve metadata
	Pushed     bool      `json:"pushed,omitempty"`     // the boot ISO is, or may be, on a boot host
	Door       string    `json:"door,omitempty"`       // the agents' door that was written on it
	AskedAt    time.Time `json:"asked_at,omitzero"`    // when the machine was last asked to do something slow
	Unsure     bool      `json:"unsure,omitzero"`      // whether it was: the conductor died about then
	PauseUntil time.Time `json:"pause_until,omitzero"` // what takes time although it does nothing lasts till then
	OffAt      time.Time `json:"off_at,omitzero"`      // when a machine that did not switch itself off was last switched off

	Begun bool `json:"begun,omitempty"` // who asked was told that it can be done

	HeardAt time.Time `json:"heard_at,omitzero"` // the call of the agent after which the next is awaited

	Flow     []flowStep        `json:"flow,omitempty"` // the composed steps
	Sent     int               `json:"sent,omitempty"` // step commands that ended in this boot of the agent
	Versions map[string]string `json:"versions,omitempty"`

	OS *osRecord `json:"os,omitempty"` // it works with an OS definition; nil: it does not
	// Mismatches counts how often the agent said that its parts are of other versions.
	Mismatches int  `json:"mismatches,omitempty"`
	Running    bool `json:"running,omitempty"` // the work of the current composed step has begun
	Ran        bool `json:"ran,omitempty"`     // that of any has
	Aborted    bool `json:"aborted,omitempty"` // it failed because somebody asked
	Unclean    bool `json:"unclean,omitempty"` // a step could not be undone
	LetIn      bool `json:"let_in,omitempty"`  // the agent answered that the rescue's user can log in

	Variables []string `json:"variables,omitempty"` // names of firmware variables that cleaning kept; nil: nobody looked

	Image       *agentapi.ImageInfo `json:"image,omitempty"`
	ImageFile   string              `json:"image_file,omitempty"` // the file that a server of ours offers as the image
	ImageBy     string              `json:"image_by,omitempty"`   // the process that offers it
	Bring       *Image              `json:"bring,omitempty"`      // the image is to be brought, or was
	Validate    *Image              `json:"validate,omitempty"`   // the image is to be read whole before the machine fetches it
	ImageFrom   string              `json:"image_from,omitempty"` // the image_source that the machine fetches from by itself; "": it fetches from us
	ISO         *Image              `json:"iso,omitempty"`        // the node's own boot ISO is to be brought, or was
	ISOURL      string              `json:"iso_url,omitempty"`    // where it is then
	ISOBy       string              `json:"iso_by,omitempty"`     // the process that brought it
	Installer   []Image             `json:"installer,omitempty"`  // what an installer boots from the network is to be brought, or was; else it is ISO
	ConfigDrive string              `json:"config_drive,omitempty"`

	MemoryLooks int `json:"memory_looks,omitempty"` // how often the current step looked for memory and found too little

	Progress   *metal.Progress `json:"progress,omitempty"`
	ProgressAt time.Time       `json:"progress_at,omitzero"`
}

// decide fixes what the plan will do to this node.
func (o *Op) decide(c *Config, h Part) {
	if o.Rec.Decided {
		return
	}
	o.Rec.Decided, o.Rec.Ramdisk, o.Rec.Clean, o.Rec.Wired = true, h.Deploys == ByAgent, c.AutomatedClean, h.Network != nil
	o.Rec.Wish, _ = metal.WishOf(o.Node)                   // a deploy says what is wrong with it; for others none is wanted then
	o.Rec.PollOnly, _ = metal.PollOnly(o.Node, c.PollOnly) // check boot url says what is wrong with it
	if own := o.Node.AutomatedClean; own != nil {
		o.Rec.Clean = *own
	}
	if o.row == nil {
		return
	}
	switch metal.Plan(o.row.Plan) {
	case metal.PlanInspect: // it boots one whatever deploys the node
		o.Rec.Ramdisk, o.Rec.StayOn = true, !c.Inspect.PowerOff
	case metal.PlanRescue, metal.PlanUnrescue, metal.PlanCheckRescue: // a fake one leaves the machine alone
		o.Rec.Ramdisk, o.Rec.Wired = h.Rescues, o.Rec.Wired && h.Rescues
	case metal.PlanTearDown: // it may run a rescue's
		o.Rec.Ramdisk = o.Rec.Ramdisk || h.Rescues
	}
}

// missingWords says what this server lacks for the node.
func (o *Op) missingWords() string {
	words := make([]string, len(o.missing))
	for i, kind := range o.missing {
		words[i] = fmt.Sprintf("the %s interface %q", kind, o.Node.Interface(kind))
	}
	return strings.Join(words, " and ")
}

// Change asks for a change of the node, to be saved with the step's outcome.
func (o *Op) Change(f func(*metal.Node)) {
	o.Also(func(_ *store.Tx, n *metal.Node) error {
		f(n)
		return nil
	})
}

// Also asks for more to be written in the transaction that saves the step's outcome.
func (o *Op) Also(f func(*store.Tx, *metal.Node) error) { o.changes = append(o.changes, f) }

// Answer is what the caller who waits for this operation gets.
func (o *Op) Answer(v any) error {
	b, err := json.Marshal(v)
	o.row.Result = string(b)
	return err
}

// Say notes how far the step is; the rate is found from what was said before.
func (o *Op) Say(p *agentapi.Progress, now time.Time) {
	if p == nil {
		return
	}
	what := p.What
	if p.Message != "" {
		what += ": " + p.Message
	}
	next := &metal.Progress{What: what, Done: p.Done, Total: p.Total, Unit: p.Unit}
	if last := o.Rec.Progress; last != nil && last.What == what && p.Done >= last.Done {
		if s := now.Sub(o.Rec.ProgressAt).Seconds(); s > 0 {
			next.Rate = float64(p.Done-last.Done) / s
			if last.Rate > 0 {
				next.Rate = 0.7*last.Rate + 0.3*next.Rate // smooth enough for an ETA
			}
		}
	}
	o.Rec.Progress, o.Rec.ProgressAt = next, now
}
