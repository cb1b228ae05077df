package conductor

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const (
	// maxCertified is how many devices one step can give certificates for.
	maxCertified = 512
	// maxCertText and maxCertOffsets bound what of an agent's words and numbers goes into one.
	maxCertText    = 512
	maxCertOffsets = 128
)

// certify gives a certificate for every device that a clean step erased and read back. It is saved with the step's end,
// or not at all: a step that is run again says again what it did.
func (r *runner) certify(ctx context.Context, op *Op, s metal.Step, result json.RawMessage) {
	if op.kind() != metal.CleanSteps {
		return
	}
	var said struct {
		Clean map[string]json.RawMessage `json:"clean_result"`
	}
	if json.Unmarshal(result, &said) != nil {
		return // a step of another kind
	}
	text := func(s string) string { return oneLine(clipped(r.scrubbed(ctx, op, s), maxCertText)) }
	var certs []metal.ErasureCertificate
	for _, name := range slices.Sorted(maps.Keys(said.Clean)) {
		var e agentapi.Erased
		if !certifiable(name) || json.Unmarshal(said.Clean[name], &e) != nil || e.Proof == nil || e.Proof.Method == "" || len(certs) == maxCertified {
			continue
		}
		p := *e.Proof
		certs = append(certs, metal.ErasureCertificate{UUID: uuid.NewString(), Node: op.Node.UUID, NodeName: op.Node.Name, Operation: op.row.UUID, Step: s.Name(),
			Device: metal.ErasedDevice{Name: text(name), Serial: text(e.Serial), WWN: text(e.WWN), Model: text(e.Model), Size: e.Size},
			Method: text(p.Method), Partial: p.Partial, How: text(e.How), Passes: p.Passes, Began: told(p.Began), Ended: told(p.Ended),
			Issued: time.Now().UTC().Truncate(time.Microsecond), Server: r.c.config.Host,
			ReadBack: metal.ErasureReadBack{Whole: p.ReadBack.Whole, Samples: p.ReadBack.Samples, Length: p.ReadBack.Length,
				Offsets: p.ReadBack.Offsets[:min(len(p.ReadBack.Offsets), maxCertOffsets)], Zero: p.ReadBack.Zero, Result: text(p.ReadBack.Result)}})
	}
	if len(certs) == 0 {
		return
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		a, err := tx.Agent(n)
		if err != nil {
			return err
		}
		for _, c := range certs {
			if a != nil {
				c.Agent = a.Version
			}
			if err := tx.SaveErasure(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// told is a time that an agent told, in UTC; none if that cannot be written: a certificate that cannot be saved would keep the operation
// from going on.
func told(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// certifiable tells whether a key of a step's result names a device.
func certifiable(name string) bool {
	return strings.HasPrefix(name, "/dev/") || name == agentapi.UEFIVariables
}
