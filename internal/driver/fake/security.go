package fake

import (
	"context"

	"ingot/internal/metal"
)

// Security knows of a fake machine what it was told: whether Secure Boot is on. There is no BMC that could tell more.
func (d *Driver) Security(ctx context.Context, n *metal.Node) (metal.SecurityReport, error) {
	var r metal.SecurityReport
	m, err := d.machine(ctx, n)
	if err != nil {
		return r, err
	}
	for _, name := range []string{metal.AskSignedFirmware, metal.AskTPM, metal.AskSecureBoot, metal.AskHostInterface, metal.AskBootLock, metal.AskIPMI} {
		f := metal.SecurityFinding{Name: name, Answer: metal.Unknown, Detail: "A fake machine has no firmware.", Advice: "Ask this of a machine."}
		switch {
		case name == metal.AskSecureBoot && m.secure:
			f.Answer, f.Good, f.Detail, f.Advice = metal.Yes, true, "Secure Boot is on.", ""
		case name == metal.AskSecureBoot:
			f.Answer, f.Detail, f.Advice = metal.No, "Secure Boot is off.", "Ask for it: ingot node secure-boot on."
		}
		r.Findings = append(r.Findings, f)
	}
	return r, nil
}

// Warnings has none.
func (d *Driver) Warnings(context.Context, *metal.Node) []string { return nil }
