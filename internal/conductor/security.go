package conductor

import (
	"context"
	"time"

	"ingot/internal/fault"
)

// securityPlan answers what a machine's BMC tells of its security.
var securityPlan = question("report security", (*runner).reportSecurity)

// warnLimit is how long a validation looks for what is unwise: it is asked often, and by programs.
const warnLimit = 5 * time.Second

func (r *runner) reportSecurity(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Guard == nil {
		return Outcome{}, fault.New(fault.NotSupported, "driver %s (management interface %q) tells nothing of a machine's security", op.Node.Driver, op.Node.Interface("management"))
	}
	report, err := r.hw.Guard.Security(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	return done, op.Answer(report)
}

func (r *runner) guardWarnings(ctx context.Context, op *Op) []string {
	ctx, cancel := context.WithTimeout(ctx, warnLimit)
	defer cancel()
	return r.hw.Guard.Warnings(ctx, op.Node)
}

// secureRefusal is what may explain that a boot from virtual media brought nobody: a firmware that enforces Secure Boot says on
// the console only what it refuses.
func (r *runner) secureRefusal(ctx context.Context, op *Op) string {
	if r.hw.Secure == nil {
		return ""
	}
	s, err := r.hw.Secure.SecureBoot(ctx, op.Node)
	if err != nil || !s.On || s.Setup || s.Booted != nil && !*s.Booted {
		return ""
	}
	return ". Secure Boot is on: if the firmware's keys do not sign the boot medium's loader, it is refused, and only the console says so " +
		"(\"Access Denied\", \"Security Violation\"; ingot node secure-boot keys show tells the keys, ingot boot verify who signed a loader)"
}
