package ops

import (
	"cmp"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// takeSlot gives an operation that is about to be written the slot that it needs. If there is none it is refused, or stands in line.
func (rq *request) takeSlot(o *store.Operation) error {
	slot := rq.slot()
	if slot == "" {
		return nil
	}
	use, err := rq.tx.HoldSlots(slot)
	if err != nil {
		return err
	}
	limit := rq.config.Slots[slot]
	switch {
	case !use.Full(limit):
		o.Slot = slot
		return nil
	case !rq.config.QueueWhenFull:
		return full(slot, use, limit)
	}
	now, err := rq.tx.Now()
	o.InLine(slot, now)
	return err
}

// slot is the kind that the request's operation needs. To make a node available that is not cleaned takes none.
func (rq *request) slot() metal.Slot {
	clean := rq.config.AutomatedClean
	if own := rq.node.AutomatedClean; own != nil {
		clean = *own
	}
	if rq.plan == metal.PlanClean && !clean {
		return ""
	}
	return rq.plan.Slot()
}

// full is the refusal.
func full(slot metal.Slot, use store.SlotUse, limit int) error {
	return fault.New(fault.Full, "The limit is reached. %s Ask again when one has ended.", underWay(slot, use, limit))
}

// underWay says how the slots of a kind are used.
func underWay(slot metal.Slot, use store.SlotUse, limit int) string {
	what := slot.Plural()
	line := ""
	if use.InLine > 0 {
		line = fmt.Sprintf("; %s for a turn", waiting(use.InLine))
	}
	return fmt.Sprintf("%s%s under way: %d of %d (%s)%s.", strings.ToUpper(what[:1]), what[1:], use.Held, limit, slot.Option(), line)
}

// standInLine shows that the node waits: in such a state its user may abort, or delete the instance.
func (rq *request) standInLine(o *store.Operation, want metal.State) error {
	n := rq.node
	if _, may := metal.Next(n.ProvisionState, metal.EventWait); !may {
		return nil
	}
	return transition(rq.tx, n, metal.EventWait, want, rq.by, string(rq.Verb), o.UUID, fmt.Sprintf("It waits for %s.", o.WaitingWhy))
}

// inLine is what happens next to an operation that stands in line.
const inLine = "It begins by itself when its turn comes"

// waitsInLine adds to an operation that stands in line how many stand before it, and what they all wait for.
func (s *Service) waitsInLine(tx *store.Tx, o *store.Operation, out *metal.Operation) error {
	if o.Status != store.Live || !o.Queued || !strings.HasPrefix(out.Next, inLine) {
		return nil
	}
	ahead, err := tx.AheadInLine(o)
	if err != nil {
		return err
	}
	use, err := tx.SlotUse(o.Slot)
	out.Next = fmt.Sprintf(inLine+": %s before it. %s", waiting(ahead), underWay(o.Slot, use, s.config.Slots[o.Slot]))
	return err
}

func waiting(n int) string {
	return cmp.Or(map[int]string{0: "nobody waits", 1: "1 waits"}[n], fmt.Sprintf("%d wait", n))
}

// slotsUsed is what the doctor finds of slots.
func (s *Service) slotsUsed(tx *store.Tx) ([]metal.Finding, error) {
	var out []metal.Finding
	for _, slot := range metal.Slots {
		use, err := tx.SlotUse(slot)
		if err != nil {
			return nil, err
		}
		out = append(out, slotFinding(slot, use, s.config.Slots[slot]))
	}
	return out, nil
}

func slotFinding(slot metal.Slot, use store.SlotUse, limit int) metal.Finding {
	f := metal.Finding{Check: "limit " + string(slot), Level: metal.Fine, Said: underWay(slot, use, limit)}
	if use.InLine > 0 || use.Full(limit) {
		f.Level = metal.Warn
		f.Do = "See with ingot operation list that they are wanted; raise the limit if BMCs, network and image servers can bear more. docs/guides/limits.md says more."
	}
	return f
}
