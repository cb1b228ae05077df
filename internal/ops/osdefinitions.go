package ops

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// shownTrust is how many entries of a definition's trust are shown.
const shownTrust = 20

// OSDefinitions lists OS definitions. Hidden ones see who may list all.
func (s *Service) OSDefinitions(ctx context.Context, c Caller, p Page) (out []*osdef.Record, err error) {
	all := c.Rights.Allows("ingot:os:list_all", policy.Target{})
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.OSDefinitions(all, p)
		return err
	})
	return out, err
}

// OSDefinition finds an OS definition by UUID or name, and who trusted it lately, newest first.
func (s *Service) OSDefinition(ctx context.Context, ident string) (r *osdef.Record, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		r.Trusts, err = tx.OSTrust(r, shownTrust)
		return err
	})
	return r, err
}

// OSBundle gives the files of an OS definition.
func (s *Service) OSBundle(ctx context.Context, ident string) (r *osdef.Record, b *osdef.Bundle, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		b, err = tx.OSBundle(r)
		return err
	})
	return r, b, err
}

// CreateOSDefinition keeps a definition whose files come packed. Nobody trusts it yet.
func (s *Service) CreateOSDefinition(ctx context.Context, c Caller, r *osdef.Record, packed []byte) (*osdef.Record, error) {
	if err := osdef.CheckName(r.Name); err != nil {
		return nil, err
	}
	if uuid.Validate(r.Name) == nil {
		return nil, fault.New(fault.Invalid, "%s cannot be the name of an OS definition: it is a UUID.", r.Name)
	}
	b, err := filled(r, packed)
	if err != nil {
		return nil, err
	}
	r.UUID = cmp.Or(r.UUID, uuid.NewString())
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateOSDefinition(r, b)
	})
	if err == nil {
		s.log.Info("OS definition added", "definition", r.Name, "digest", r.Digest, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// filled reads packed files into a record, and judges both together.
func filled(r *osdef.Record, packed []byte) (*osdef.Bundle, error) {
	b, err := osdef.Read(bytes.NewReader(packed), osdef.Usual)
	if err != nil {
		return nil, err
	}
	d, err := b.Definition()
	if err != nil {
		return nil, err
	}
	r.Definition, r.Digest, r.Size = *d, b.Digest(), int64(len(b.Tar()))
	return b, checkDefaults(r)
}

// checkDefaults judges defaults for the definition that they are of, and those of a variant with those of all.
func checkDefaults(r *osdef.Record) error {
	for _, variant := range slices.Sorted(maps.Keys(r.Defaults)) {
		c := r.Defaults[variant]
		if len(c.Secret) > 0 {
			return fault.New(fault.Invalid, "OS parameters of the class secret have no defaults: what is stored is not secret. Give %s with each deployment.", strings.Join(slices.Sorted(maps.Keys(c.Secret)), ", "))
		}
		if variant != "" && !slices.Contains(r.Definition.Variants, variant) {
			return fault.New(fault.Invalid, "There are default parameters of a variant %.80q, which the OS definition %s does not have.", variant, r.Name)
		}
		if err := osdef.Merge(r.Layers(variant)...).Check(&r.Definition); err != nil {
			text, _ := fault.PublicOf(err)
			return fault.Wrap(fault.KindOf(err), err, "The default parameters of the OS definition %s: %s", r.Name, text)
		}
	}
	return nil
}

// UpdateOSDefinition changes what is kept of a definition beside its files. What is under way keeps what it began with.
func (s *Service) UpdateOSDefinition(ctx context.Context, c Caller, ident string, change func(*osdef.Record) error) (r *osdef.Record, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		if err := change(r); err != nil {
			return err
		}
		if err := checkDefaults(r); err != nil {
			return err
		}
		return s.saveOSDefinition(tx, r)
	})
	if err == nil {
		s.log.Info("OS definition changed", "definition", r.Name, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

func (s *Service) saveOSDefinition(tx *store.Tx, r *osdef.Record) (err error) {
	if r.UpdatedAt, err = tx.Now(); err != nil {
		return err
	}
	if err := tx.SaveOSDefinition(r); err != nil {
		return err
	}
	r.Trusts, err = tx.OSTrust(r, shownTrust)
	return err
}

// ReplaceOSBundle puts other files in the place of a definition's. Trust ends with the files that it was of; the same files
// again change nothing.
func (s *Service) ReplaceOSBundle(ctx context.Context, c Caller, ident string, packed []byte) (r *osdef.Record, err error) {
	lost := false
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		before := r.Digest
		b, err := filled(r, packed)
		if err != nil {
			return err
		}
		if before == r.Digest {
			r.Trusts, err = tx.OSTrust(r, shownTrust)
			return err
		}
		if lost = r.TrustedDigest != ""; lost {
			if err := s.noteTrust(tx, c, r, false); err != nil {
				return err
			}
		}
		if err := tx.SaveOSBundle(r, b); err != nil {
			return err
		}
		return s.saveOSDefinition(tx, r)
	})
	if err == nil {
		s.log.Info("OS definition has other files", "definition", r.Name, "digest", r.Digest, "trust_lost", lost, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// noteTrust changes whether a definition is trusted, and keeps who did it.
func (s *Service) noteTrust(tx *store.Tx, c Caller, r *osdef.Record, trusted bool) error {
	at, err := tx.Now()
	if err != nil {
		return err
	}
	e := osdef.Trust{At: at, Who: c.who(), Request: c.RequestID, Digest: r.TrustedDigest, Trusted: trusted}
	r.TrustedDigest, r.TrustedBy, r.TrustedAt = "", "", at
	if trusted {
		e.Digest, r.TrustedDigest, r.TrustedBy = r.Digest, r.Digest, e.Who
	}
	return tx.AddOSTrust(r, e)
}

// TrustOSDefinition is an administrator's word that the files with this digest may run unconfined. Another digest than the
// definition has is fault.Conflict: somebody changed the files since they were looked at.
func (s *Service) TrustOSDefinition(ctx context.Context, c Caller, ident, digest string) (r *osdef.Record, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		if digest != r.Digest {
			return fault.New(fault.Conflict, "The OS definition %s has the digest %s, and not %.80s: look at its files before you trust them.", r.Name, r.Digest, digest)
		}
		if r.Trusted() {
			r.Trusts, err = tx.OSTrust(r, shownTrust)
			return err
		}
		if err := s.noteTrust(tx, c, r, true); err != nil {
			return err
		}
		return s.saveOSDefinition(tx, r)
	})
	if err == nil {
		s.log.Warn("OS definition trusted", "definition", r.Name, "digest", r.Digest, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// DistrustOSDefinition ends the trust in a definition. None is no error.
func (s *Service) DistrustOSDefinition(ctx context.Context, c Caller, ident string) error {
	var r *osdef.Record
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if r, err = tx.OSDefinition(ident); err != nil || r.TrustedDigest == "" {
			return err
		}
		if err := s.noteTrust(tx, c, r, false); err != nil {
			return err
		}
		return s.saveOSDefinition(tx, r)
	})
	if err == nil {
		s.log.Warn("OS definition no longer trusted", "definition", r.Name, "digest", r.Digest, "who", c.who(), "request", c.RequestID)
	}
	return err
}

// DeleteOSDefinition forgets a definition that no node is installed with.
func (s *Service) DeleteOSDefinition(ctx context.Context, c Caller, ident string) error {
	var r *osdef.Record
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if r, err = tx.OSDefinition(ident); err != nil {
			return err
		}
		return tx.DeleteOSDefinition(r)
	})
	if err == nil {
		s.log.Info("OS definition removed", "definition", r.Name, "digest", r.Digest, "who", c.who(), "request", c.RequestID)
	}
	return err
}
