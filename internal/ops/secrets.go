package ops

import (
	"context"
	"slices"
	"strings"
	"time"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// Keeper is where this process keeps secret values while their operations live.
type Keeper struct {
	Courier *courier.Courier
	Server  string // this server's name, by which a conductor finds it
	// Refusal says why no conductor could fetch a value from here; "": one can.
	Refusal string

	missed map[string]int // looks in a row that did not find an operation; of the one goroutine that looks
}

// missedLimit is how many looks, of one each 10 seconds, may not find an operation whose values are kept: longer than a
// request may take to write it.
const missedLimit = 12

// KeepSecrets lets the service take secret values. Call it before the first request.
func (s *Service) KeepSecrets(k Keeper) { s.keeper = &k }

// checkSecrets tells whether the values given are exactly those that the steps' arguments name.
func (s *Service) checkSecrets(given map[string]secret.Secret, steps []metal.Step) error {
	used := metal.SecretNames(steps)
	var missing, unused []string
	for _, name := range used {
		if _, ok := given[name]; !ok {
			missing = append(missing, name)
		}
	}
	for name := range given {
		if !slices.Contains(used, name) {
			unused = append(unused, name)
		}
	}
	slices.Sort(unused)
	switch {
	case len(missing) > 0:
		return fault.New(fault.Invalid, "The steps' arguments name secret values that were not given: %s. Give them in \"secrets\" of the same request.", strings.Join(missing, ", "))
	case len(unused) > 0:
		return fault.New(fault.Invalid, "Secret values were given that no step's argument names: %s. An argument names one as {\"secret\": \"NAME\"}.", strings.Join(unused, ", "))
	}
	return s.canKeep(given)
}

// canKeep tells whether secret values can be taken here.
func (s *Service) canKeep(given map[string]secret.Secret) error {
	switch {
	case len(given) == 0:
		return nil
	case s.keeper == nil:
		return fault.New(fault.NotSupported, "This server takes no secret values.")
	case s.keeper.Refusal != "":
		return fault.New(fault.NotSupported, "%s", s.keeper.Refusal)
	}
	return courier.Check(given)
}

// keepSecrets keeps the values for an operation that is about to be written. drop takes them away again if it was
// not; nil values give a nil reference.
func (s *Service) keepSecrets(operation string, given map[string]secret.Secret) (ref *metal.SecretRef, drop func(), err error) {
	if len(given) == 0 {
		return nil, func() {}, nil
	}
	handle, err := s.keeper.Courier.Keep(operation, given)
	if err != nil {
		return nil, func() {}, err
	}
	ref = &metal.SecretRef{Handle: handle, Server: s.keeper.Server}
	for name := range given {
		ref.Names = append(ref.Names, name)
	}
	slices.Sort(ref.Names)
	return ref, func() { s.keeper.Courier.Release(operation) }, nil
}

// RunSecrets releases the values of operations that have ended, until ctx ends. A conductor releases them at once;
// this is for one that died, and for operations that were ended from outside.
func (s *Service) RunSecrets(ctx context.Context) error {
	if s.keeper == nil {
		return nil
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		s.releaseEnded(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) releaseEnded(ctx context.Context) {
	missed := map[string]int{}
	for _, id := range s.keeper.Courier.Operations() {
		var o *store.Operation
		err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
			o, err = tx.Operation(id)
			return err
		})
		switch {
		case fault.KindOf(err) == fault.NotFound: // it is about to be written, or its node was deleted
			if missed[id] = s.keeper.missed[id] + 1; missed[id] >= missedLimit {
				s.keeper.Courier.Release(id)
			}
		case err == nil && o.Status != store.Live:
			s.keeper.Courier.Release(id)
		}
	}
	s.keeper.missed = missed
}
