package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// What becomes of a machine whose firmware is not as its baseline after cleaning.
const (
	DriftFails   = "fail"   // cleaning fails
	DriftWarns   = "event"  // the history says so
	DriftIgnored = "ignore" // nothing is read
)

const (
	// maxVariables and maxVariable bound the names that an agent may tell of the variables that it kept.
	maxVariables = 1000
	maxVariable  = 160
	// maxDrift is how many differences an event names; the baseline has them all.
	maxDrift = 12
)

// variablesStep is the clean step that is told the names of the baseline, and tells those that it kept.
const variablesStep = "deploy.clean_uefi_variables"

// compareStep is the last of cleaning but one: by then what a tenant changed is as it was, or it is drift.
var compareStep = step{name: "compare firmware", class: repeatable, run: (*runner).compareFirmware, limit: 10 * time.Minute, tries: 3}

// keepVariables notes the names of the variables that the agent kept.
func (r *runner) keepVariables(op *Op, s metal.Step, result json.RawMessage) {
	var said struct {
		Clean struct {
			Kept []string `json:"kept"`
		} `json:"clean_result"`
	}
	if s.Name() != variablesStep || op.kind() != metal.CleanSteps || json.Unmarshal(result, &said) != nil {
		return
	}
	if said.Clean.Kept == nil { // it was booted by a BIOS
		return
	}
	op.Rec.Variables = []string{}
	for _, name := range said.Clean.Kept[:min(len(said.Clean.Kept), maxVariables)] {
		if len(name) <= maxVariable {
			op.Rec.Variables = append(op.Rec.Variables, oneLine(name))
		}
	}
}

// tellVariables gives the agent the names of the baseline. Where the versions of firmware are others than its own it gives none: what a
// new firmware made is not in it, and machines have died of losing such variables.
func (r *runner) tellVariables(ctx context.Context, op *Op, s metal.Step, n *agentapi.Node) error {
	if s.Name() != variablesStep {
		return nil
	}
	b, err := r.baseline(ctx, op)
	if err != nil || b == nil || b.State.Variables == nil {
		return err
	}
	is, err := r.firmwareState(ctx, op)
	if err != nil {
		return err
	}
	versions := func(s metal.FirmwareState) metal.FirmwareState { return metal.FirmwareState{Firmware: s.Firmware} }
	if len(metal.FirmwareDrift(versions(b.State), versions(is), r.c.config.FirmwareDriftIgnore)) > 0 {
		r.event(op, "step", "WARN", "The versions of the firmware are not those of its baseline, so variables that the baseline does not have stay, a tenant's too. "+
			"`ingot node baseline "+op.Node.UUID+"` shows it; --accept makes it the baseline.")
		return nil
	}
	n.InternalInfo[agentapi.KnownVariables] = b.State.Variables
	return nil
}

func (r *runner) baseline(ctx context.Context, op *Op) (b *metal.Baseline, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		b, err = tx.Baseline(op.Node.ID)
		return err
	})
	return b, err
}

// compareFirmware compares the machine's firmware with its baseline; the first time it records one. What it saw is kept also when it
// fails, so that an operator can look at it and accept it.
func (r *runner) compareFirmware(ctx context.Context, op *Op) (Outcome, error) {
	if r.c.config.FirmwareDrift == DriftIgnored {
		return done, nil
	}
	is, err := r.firmwareState(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	b, err := r.baseline(ctx, op)
	if err != nil || is.Empty() && b == nil {
		return done, err
	}
	if b == nil {
		b = &metal.Baseline{}
	}
	drift := metal.FirmwareDrift(b.State, is, r.c.config.FirmwareDriftIgnore)
	parts := b.State.Fill(is)
	op.noted = append(op.noted, func(tx *store.Tx, n *metal.Node) error {
		if len(parts) > 0 {
			if err := tx.SaveBaseline(n.ID, b.State, r.c.config.Host); err != nil {
				return err
			}
		}
		return tx.SeeFirmware(n.ID, is)
	})
	if len(parts) > 0 {
		r.event(op, "step", "INFO", "The firmware's state is recorded as the baseline for later cleanings: "+strings.Join(parts, ", ")+".")
	}
	switch {
	case len(drift) == 0:
		return done, nil
	case r.c.config.FirmwareDrift == DriftFails:
		return Outcome{}, fault.New(fault.Invalid, "the firmware is not as its baseline: %s. Put it back, or accept it with `ingot node baseline %s --accept`; then clean again",
			driftWords(drift), op.Node.UUID)
	}
	r.event(op, "step", "WARN", "The firmware is not as its baseline: "+driftWords(drift)+". `ingot node baseline "+op.Node.UUID+"` shows it; --accept makes it the baseline.")
	return done, nil
}

func driftWords(drift []string) string {
	words := make([]string, min(len(drift), maxDrift))
	for i := range words {
		words[i] = clipped(oneLine(drift[i]), 300)
	}
	if more := len(drift) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

// firmwareState is what the BMC tells, with the variables that the agent kept. A driver that tells nothing of it is no error.
func (r *runner) firmwareState(ctx context.Context, op *Op) (s metal.FirmwareState, err error) {
	if r.hw.Firmware != nil {
		if s, err = r.hw.Firmware.FirmwareState(ctx, op.Node); fault.KindOf(err) == fault.NotSupported {
			s, err = metal.FirmwareState{}, nil
		}
	}
	maps.DeleteFunc(s.BIOS, func(name, _ string) bool { return strings.Contains(strings.ToLower(name), "password") }) // some BMCs tell them
	if op.Rec.Variables != nil {
		s.Variables = slices.Clone(op.Rec.Variables)
	}
	return s, err
}

// uncleaned is for a machine that nobody cleans: whoever gets it next should know.
func (r *runner) uncleaned(_ context.Context, op *Op) (Outcome, error) {
	who := "[conductor] automated_clean is false"
	if op.Node.AutomatedClean != nil {
		who = "the node's automated_clean is false"
	}
	r.event(op, "step", "WARN", "This machine becomes available without having been cleaned, because "+who+": the next tenant may read what was left on its disks and in its firmware.")
	op.Change(func(n *metal.Node) {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo[metal.NotCleaned] = time.Now().UTC().Format(time.RFC3339)
	})
	return done, nil
}
