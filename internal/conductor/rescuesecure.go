package conductor

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// asideKey is where driver_internal_info has that a rescue switched Secure Boot off, until it is on again. It is stored:
// never rename it.
const asideKey = "rescue_secure_boot_off"

func secureAside(n *metal.Node) bool { return n.InternalInfo[asideKey] == true }

// secureInTheWay tells whether Secure Boot keeps the machine from what it is to boot: our own ramdisk and its loaders are
// signed, an operator's ISO and iPXE need not be. Upstream switches it off for every rescue.
func (r *runner) secureInTheWay(op *Op) bool {
	return r.ownISO(op) != "" || r.hw.NetBoot != "" && unsignedLoader(r.hw.NetBoot) && !r.c.config.SignedIPXE
}

// planSecureBoot decides whether Secure Boot is switched off for the rescue.
func (r *runner) planSecureBoot(ctx context.Context, op *Op) error {
	op.Rec.SecureWas = false
	if r.hw.Secure == nil || !r.secureInTheWay(op) {
		return nil
	}
	s, err := r.hw.Secure.SecureBoot(ctx, op.Node)
	if fault.KindOf(err) == fault.NotSupported {
		return nil
	}
	op.Rec.SecureWas = err == nil && s.On && !s.Setup
	return err
}

// secureBootStays: it need not be touched.
func secureBootStays(op *Op) bool { return noRamdisk(op) || !op.Rec.SecureWas }

// secureBootAside switches Secure Boot off and notes that it was on.
func (r *runner) secureBootAside(ctx context.Context, op *Op) (Outcome, error) {
	o, err := r.switchSecureBoot(ctx, op, false)
	if err == nil {
		op.Change(func(n *metal.Node) {
			if n.InternalInfo == nil {
				n.InternalInfo = map[string]any{}
			}
			n.InternalInfo[asideKey] = true
		})
	}
	return o, err
}

// secureBootReturns switches it on again.
func (r *runner) secureBootReturns(ctx context.Context, op *Op) error {
	_, err := r.switchSecureBoot(ctx, op, true)
	if err == nil {
		op.Change(func(n *metal.Node) { delete(n.InternalInfo, asideKey) })
	}
	return err
}

// secureBootAfter leaves Secure Boot as the next user finds it: off after an instance that asked for it, and as it was before
// a rescue otherwise.
func (r *runner) secureBootAfter(ctx context.Context, op *Op) (Outcome, error) {
	if !noSecureWish(op) {
		o, err := r.secureBootOff(ctx, op)
		if err == nil {
			op.Change(func(n *metal.Node) { delete(n.InternalInfo, asideKey) })
		}
		return o, err
	}
	return done, r.secureBootReturns(ctx, op)
}

func noSecureChange(op *Op) bool { return noSecureWish(op) && !secureAside(op.Node) }
