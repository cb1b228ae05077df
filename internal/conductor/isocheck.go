package conductor

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/source"
)

// A BMC fetches a node's own boot ISO by itself, and verifies nothing. With deploy_iso_checksum or rescue_iso_checksum in driver_info
// (ours) it gets the ISO from us instead, who fetched and verified it.

// isoChecksum is what driver_info says that the node's own boot ISO must be, "" for nothing.
func (r *runner) isoChecksum(op *Op) string {
	return op.Node.DriverInfo.Public(isoKey(op.role()) + "_checksum")
}

// noISO: the machine boots no ISO of the node's own, or nobody said what it must be.
func (r *runner) noISO(op *Op) bool { return r.ownISO(op) == "" || r.isoChecksum(op) == "" }

// planISO finds out what the ISO must be, before the machine is touched.
func (r *runner) planISO(ctx context.Context, op *Op) error {
	op.Rec.ISO, op.Rec.ISOURL, op.Rec.ISOBy = nil, "", ""
	if r.noISO(op) {
		return nil
	}
	if r.c.images == nil {
		return fault.New(fault.Unavailable, "this server brings no images, so it cannot verify the %s: remove %s_checksum from driver_info, or use another server", isoKey(op.role()), isoKey(op.role()))
	}
	iso := r.ownISO(op)
	digest, err := source.Checksum(ctx, iso, r.isoChecksum(op), r.c.origins.Rules())
	if err != nil {
		return err
	}
	op.Rec.ISO = &Image{URL: iso, Name: isoKey(op.role()) + " " + source.Safe(iso), As: "boot.iso", Algorithm: digest.Algorithm, Hex: digest.Hex}
	return nil
}

// bringISO has the node's own boot ISO where its BMC fetches it, verified. A node without a checksum for it keeps the ISO's own address.
func (r *runner) bringISO(ctx context.Context, op *Op) (Outcome, error) {
	if op.Rec.ISO == nil || op.Rec.ISOURL != "" && op.Rec.ISOBy == r.c.process {
		return done, nil
	}
	url, where, err := r.c.images.Bring(ctx, op.Node.UUID, r.withAccess(op, op.Rec.ISO), r.bootUntil(op))
	if fault.KindOf(err) == fault.Conflict {
		return again(r.c.config.Poll, "the boot ISO, which is being brought for another machine"), nil
	}
	if err != nil {
		return Outcome{}, err
	}
	op.Rec.ISOURL, op.Rec.ISOBy = url, r.c.process
	r.event(op, "step", "INFO", "The node's own boot ISO was verified and is "+where+".")
	return done, nil
}

// bootISOOf is the address of the node's own boot ISO: its own, or that of the verified one.
func (op *Op) bootISOOf(iso string) string {
	if op.Rec.ISOURL != "" {
		return op.Rec.ISOURL
	}
	return iso
}
