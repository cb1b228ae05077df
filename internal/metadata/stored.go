package metadata

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// Stored are the instances in the database.
type Stored struct {
	DB *store.DB
	// Vendor keeps what vendordata targets answer fresh. Nil: there are none.
	Vendor *vendordata.Service
	// Neighbor tells the MAC that the kernel speaks with at an address on a link of this host; "" for none, or where a router is
	// between. Nil: nobody knows, and link-local addresses, which nobody gave out, are nobody's.
	Neighbor func(netip.Addr) string
	// TrustUsers lets an address count that only an instance's user says it has.
	TrustUsers bool
	Log        *slog.Logger

	told notices
}

// markOf leaves a machine idle that does not run its instance: it may run a ramdisk, whose programs are not the user's, or be on its
// way to somebody else.
func markOf(r store.InstanceRef) Mark {
	m := Mark{Node: r.NodeUUID, ID: r.ID, Project: r.Project, Generation: r.Generation, Fault: r.Fault, Young: r.State != metal.Active}
	if !r.Runs {
		m.Idle = "the node is " + string(r.State)
	}
	return m
}

// At are the instances at an address. Where the kernel knows the MAC at it, it must be theirs. Else what was given goes before what
// is planned, and what users claim counts only if they are trusted.
func (s *Stored) At(ctx context.Context, a netip.Addr) ([]Mark, error) {
	mac := ""
	if s.Neighbor != nil {
		mac = s.Neighbor(a)
	}
	local := a.IsLinkLocalUnicast() && a.Is6()
	if local && mac == "" {
		return nil, nil
	}
	var at, of []store.InstanceRef
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if !local {
			at, err = tx.InstancesAt(a)
		}
		if err == nil && mac != "" && (local || len(at) > 0) {
			of, err = tx.InstancesByMAC(mac)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case local: // nobody gave it out
		return marksOf(of), nil
	case mac != "":
		return marksOf(s.ofMAC(a, mac, at, of)), nil
	}
	return marksOf(s.surest(a, at)), nil
}

// ofMAC are those at an address that have the MAC which is there.
func (s *Stored) ofMAC(a netip.Addr, mac string, at, of []store.InstanceRef) []store.InstanceRef {
	out := slices.DeleteFunc(slices.Clone(at), func(r store.InstanceRef) bool {
		return !slices.ContainsFunc(of, func(o store.InstanceRef) bool { return o.NodeID == r.NodeID })
	})
	if len(out) == 0 && len(at) > 0 {
		s.notice("mac "+a.String(), "a machine has the address of an instance and not its MAC, so it is not served", "address", a.String(), "mac", mac, "nodes", nodesOf(at))
	}
	return out
}

// surest are those at an address of which it is surest that they have it.
func (s *Stored) surest(a netip.Addr, at []store.InstanceRef) []store.InstanceRef {
	best := store.Claimed
	for _, r := range at {
		best = min(best, r.Sure)
	}
	var out, others []store.InstanceRef
	for _, r := range at {
		if r.Sure == best && (best < store.Claimed || s.TrustUsers) {
			out = append(out, r)
		} else {
			others = append(others, r)
		}
	}
	if len(others) > 0 {
		s.notice("claim "+a.String(), "users of instances claim an address that others have, or that nobody gave them: their claim does not count", "address", a.String(), "nodes", nodesOf(others))
	}
	return out
}

func nodesOf(refs []store.InstanceRef) string {
	words := make([]string, len(refs))
	for i, r := range refs {
		words[i] = r.NodeUUID
	}
	return strings.Join(words, " ")
}

// notice logs a warning, each at most once in a while.
func (s *Stored) notice(key, text string, facts ...any) {
	if s.Log != nil && s.told.news(key, time.Now()) {
		s.Log.Warn(text, facts...)
	}
}

func marksOf(refs []store.InstanceRef) []Mark {
	var out []Mark
	for _, r := range refs {
		out = append(out, markOf(r))
	}
	return out
}

// ByID are those with an instance-id.
func (s *Stored) ByID(ctx context.Context, id string) ([]Mark, error) {
	return s.marks(ctx, func(tx *store.Tx) ([]store.InstanceRef, error) { return tx.InstancesByID(strings.ToLower(id)) })
}

// ByNode are those of a node.
func (s *Stored) ByNode(ctx context.Context, uuid string) ([]Mark, error) {
	return s.marks(ctx, func(tx *store.Tx) ([]store.InstanceRef, error) { return tx.InstancesByNode(uuid) })
}

func (s *Stored) marks(ctx context.Context, find func(*store.Tx) ([]store.InstanceRef, error)) (out []Mark, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		refs, err := find(tx)
		out = marksOf(refs)
		return err
	})
	return out, err
}

// Open reads and unseals an instance.
func (s *Stored) Open(ctx context.Context, m Mark) (*Instance, error) {
	var row *store.Instance
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(m.Node)
		if err == nil {
			row, err = tx.Instance(n)
		}
		return err
	})
	switch {
	case fault.KindOf(err) == fault.NotFound && err != nil:
		return nil, ErrChanged
	case err != nil:
		return nil, err
	case row == nil || row.Generation != m.Generation:
		return nil, ErrChanged
	}
	i := &Instance{Mark: m, deploy: row.Deploy, Size: len(row.Seed.Expose()) + len(row.Answers.Expose()) + len(row.Request.Expose()) + overhead}
	if i.Seed, err = seed.Decode([]byte(row.Seed.Expose())); err != nil {
		return nil, err
	}
	if i.answers, err = vendordata.DecodeAnswers([]byte(row.Answers.Expose())); err != nil {
		return nil, err
	}
	if row.Answers.Empty() || row.Request.Empty() { // nobody was asked about it: all that it reads was given, down to the vendor data
		i.frozen = true
		return i, nil
	}
	i.request, err = vendordata.DecodeRequest([]byte(row.Request.Expose()))
	return i, err
}

// overhead is about what an instance takes in memory beside its bytes.
const overhead = 4 << 10

// Static is the operator's document as it is now, where this server has one: a server that was not told of the conductors' file
// leaves what the instance was deployed with.
func (s *Stored) Static(i *Instance) json.RawMessage {
	if i.frozen {
		return nil
	}
	return s.Vendor.Document()
}

// VendorData2 starts from the answers of the deployment and has them refreshed. What the targets fail with is told once for each
// change: an event, and the fault that the node shows until they answer again.
func (s *Stored) VendorData2(ctx context.Context, i *Instance) (json.RawMessage, error) {
	if s.Vendor == nil || i.frozen {
		return nil, nil
	}
	answers, err := s.Vendor.Fresh(ctx, key(i.Node, i.deploy), i.request, i.answers)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.tell(ctx, i, answers, err)
	if err != nil {
		return nil, err
	}
	return answers.VendorData2(s.Static(i)), nil
}

// tell notes what the targets failed with, where it is another thing than was noted. The instance gets its answer whatever
// becomes of the note.
func (s *Stored) tell(ctx context.Context, i *Instance, a vendordata.Answers, failed error) {
	why := a.Why()
	if failed != nil {
		if why, _ = fault.PublicOf(failed); why == "" {
			why = "Vendordata cannot be had: see the log of the server."
		}
	}
	if why == i.Fault {
		return
	}
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return s.note(tx, i, why, failed != nil) }); err != nil {
		s.Log.Warn("what the vendordata targets failed with is not noted", "node", i.Node, "error", err)
	}
}

// note writes fault and event, unless another request was quicker, or the instance is another one by now.
func (s *Stored) note(tx *store.Tx, i *Instance, why string, fatal bool) error {
	n, err := tx.Node(i.Node)
	if err != nil {
		return err
	}
	refs, err := tx.InstancesByNode(n.UUID)
	if err != nil || !slices.ContainsFunc(refs, func(r store.InstanceRef) bool { return r.Deploy == i.deploy }) {
		return err
	}
	changed, err := tx.SetInstanceFault(n.ID, why)
	if err != nil || !changed {
		return err
	}
	e := metal.HistoryEvent{Kind: "step", Who: who, Severity: "INFO", Why: "The vendordata targets answer the instance again."}
	switch {
	case fatal:
		e.Severity, e.Why = "ERROR", "The instance gets no vendor_data2.json: "+why
	case why != "":
		e.Severity, e.Why = "WARN", "The instance gets vendor_data2.json with parts that are empty: "+why
	}
	return tx.AppendEvent(n.ID, e)
}

// who is how this room calls itself in a node's history.
const who = "metadata service"

// Password is what the instance posted.
func (s *Stored) Password(ctx context.Context, i *Instance) (password []byte, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(i.Node)
		if err != nil {
			return err
		}
		kept, err := tx.InstancePassword(n)
		password = []byte(kept.Expose())
		return err
	})
	return password, err
}

// SetPassword keeps it.
func (s *Stored) SetPassword(ctx context.Context, i *Instance, password []byte) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(i.Node)
		if err != nil {
			return err
		}
		if err := tx.SetInstancePassword(n, i.deploy, secret.New(string(password))); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: who, Severity: "INFO",
			Why: "The instance posted its password; it cannot be replaced until the next deployment."})
	})
}
