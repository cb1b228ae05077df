package ops

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/source"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// Config is what ops reads from the configuration.
type Config struct {
	// ConductorAliveLimit is how long after its last sign of life a conductor counts as alive. Default 60s.
	ConductorAliveLimit time.Duration
	// AnswerLimit is how long a request waits for a conductor's answer (validate, boot device). Default 30s.
	AnswerLimit time.Duration
	// HeartbeatTimeout is what agents are told; they call at 0.3–0.6 of it. Default 60s.
	HeartbeatTimeout time.Duration
	// PollOnly says that agents are polled, unless their node says otherwise. Default false.
	PollOnly bool
	// OwnNodes lets administrators of a project enrol and delete the nodes it owns. Default true.
	OwnNodes bool
	// LesseeFrom is where the lessee of a node that is deployed comes from. Default LesseeFromInstance.
	LesseeFrom string
	// PortgroupMode is the bonding mode of port groups whose creator names none. Default active-backup.
	PortgroupMode string
	// ResourceClass and ConductorGroup are those of nodes whose creator names none. Default "".
	ResourceClass, ConductorGroup string
	// RefusedBootModes are the boot modes that new nodes may not ask for. Default none.
	RefusedBootModes []string
	// Networks are, by network interface, the operator's networks that the configuration names. Default none.
	Networks map[string]metal.NetworkNames
	// Slots is how many operations may hold a slot of each kind at a time. Default metal.DefaultSlots.
	Slots metal.SlotLimits
	// QueueWhenFull lets operations that get no slot stand in line; else they are refused. Default false.
	QueueWhenFull bool
	// AutomatedClean says whether nodes are cleaned unless they say otherwise, as the conductors' does. Default true.
	AutomatedClean bool
	// KeepAvailable refuses to delete nodes that are available. Default false.
	KeepAvailable bool
	// RescueHash is how rescue passwords are hashed: HashSHA512, HashSHA256 or HashYescrypt. Default sha512.
	RescueHash string
	// ImageRules are what is permitted of images. Default: image.DefaultPermitted.
	ImageRules image.Rules
	// Images say which checksums of images are taken: MD5, and checksum files. Default no MD5.
	Images source.Options
}

// Defaults is the only place with default values.
func Defaults() Config {
	return Config{ConductorAliveLimit: time.Minute, AnswerLimit: 30 * time.Second, HeartbeatTimeout: time.Minute, OwnNodes: true, LesseeFrom: LesseeFromInstance,
		PortgroupMode: metal.BondMode, RescueHash: HashSHA512, Slots: metal.DefaultSlots(), AutomatedClean: true}
}

// Service is the door to all verbs. It is safe for concurrent use.
type Service struct {
	db     *store.DB
	config Config
	log    *slog.Logger
	keeper *Keeper // nil: secret values are not taken

	vendordata *vendordata.Service // nil: there are no targets

	hashing chan struct{} // holds one for each password that is being hashed: some hashes take 16 MiB each
}

// New makes a Service on an open database.
func New(db *store.DB, c Config, log *slog.Logger) *Service {
	return &Service{db: db, config: c, log: log, hashing: make(chan struct{}, 4)}
}

// Caller is who asks, and what they may do. Minor is the microversion in effect (1.Minor); Trace is where the request is in a
// distributed trace, as W3C's traceparent, "" for nowhere.
type Caller struct {
	Who       string
	Rights    *policy.Rights // what the caller may do; nil: nothing
	RequestID string
	Minor     int
	Trace     string
}

// Page says which part of a list is wanted; see store.Page.
type Page = store.Page

// Conductor is a server that works on operations.
type Conductor struct {
	store.Conductor
	Drivers []string
}

// Conductors lists all conductors by host name, dead ones too.
func (s *Service) Conductors(ctx context.Context) ([]Conductor, error) {
	var rows []store.Conductor
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.Conductors(s.config.ConductorAliveLimit)
		return err
	})
	out := make([]Conductor, len(rows))
	for i, c := range rows {
		out[i].Conductor = c
		for _, t := range c.Types {
			out[i].Drivers = append(out[i].Drivers, t.Name)
		}
		slices.Sort(out[i].Drivers)
	}
	return out, err
}

// transition moves a node by event and appends it to the history; the caller saves the node. want, if not
// empty, is the target to show.
func transition(tx *store.Tx, n *metal.Node, e metal.Event, want metal.State, c Caller, verb, operation, why string) error {
	to, ok := metal.Next(n.ProvisionState, e)
	if !ok {
		return fmt.Errorf("event %q leads nowhere from %q", e, n.ProvisionState)
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	from := n.ProvisionState
	n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt, n.UpdatedAt = to, metal.Target(to, want), now, now
	n.StampInspection(from, now)
	return tx.AppendEvent(n.ID, metal.HistoryEvent{Operation: operation, Kind: "transition", Who: c.who(), Verb: verb,
		From: from, To: to, Why: why})
}

func (c Caller) who() string {
	if c.Who == "" {
		return "anonymous"
	}
	return c.Who
}

// newOperation prepares a row; the transaction that creates it fills the times.
func newOperation(n *metal.Node, plan metal.Plan, verb string, c Caller, ask metal.Ask) *store.Operation {
	return &store.Operation{UUID: uuid.NewString(), NodeID: n.ID, Exclusive: true, Verb: verb, Plan: string(plan), PlanVersion: plan.Version(),
		Record: record(ask), RequestedBy: c.who(), RequestID: c.RequestID, TraceParent: c.Trace, Driver: n.Driver, Group: n.ConductorGroup}
}

// locked is Ironic's answer to a node that is held: by the host that works on it or, while its operation
// waits and nobody does, by the operation. live may be nil where a host holds it. Clients know the answer
// by the words "is locked by".
func locked(n *metal.Node, live *store.Operation) error {
	holder := "another operation"
	switch {
	case n.Reservation != "":
		holder = "host " + n.Reservation
	case live != nil && live.Verb != "":
		holder += " (" + live.Verb + ")"
	}
	return fault.New(fault.Locked, "Node %s is locked by %s, please retry after the current operation is completed.", n.UUID, holder)
}

// normalName tells whether s may be a node's name. Source: rest-api reference §1.6.
func normalName(s string) error {
	if len(s) > 255 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" {
		return fault.New(fault.Invalid, "Cannot use name %q: up to 255 letters, digits and the characters - . _ ~ are allowed.", s)
	}
	if _, err := uuid.Parse(s); err == nil {
		return fault.New(fault.Invalid, "Cannot use name %q: it looks like a UUID.", s)
	}
	if slices.Contains([]string{"detail", "validate", "states", "vendor_passthru", "management", "maintenance"}, s) {
		return fault.New(fault.Invalid, "Cannot use name %q: it is a reserved word of the API.", s)
	}
	return nil
}
