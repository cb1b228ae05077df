package conductor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"ingot/internal/metal"
)

// moody is a DHCP server that answers or does not.
type moody struct{ err error }

func (m *moody) Addresses(context.Context, string) ([]netip.Addr, error) { return nil, m.err }

// Machines are looked for every few seconds, for hours. A source that does not answer is in the log when that begins and when it says
// something else, once for all NICs; one that answers is not.
func TestASilentSourceIsLoggedOnce(t *testing.T) {
	var said bytes.Buffer
	source := &moody{}
	c := &Conductor{log: slog.New(slog.NewTextHandler(&said, nil)), leases: source}
	p := newPoller(c)
	n := &metal.Node{UUID: "11111111-1111-4111-8111-111111111111"}
	ports := []*metal.Port{{Address: "52:54:00:00:00:01"}, {Address: "52:54:00:00:00:02"}}
	f := &foundAt{}
	for i, step := range []struct {
		err  error
		says string
	}{
		{nil, ""}, {errors.New("refused"), "error=refused"}, {errors.New("refused"), ""}, {errors.New("slow"), "error=slow"}, {nil, ""}, {errors.New("refused"), "error=refused"},
	} {
		said.Reset()
		source.err = step.err
		p.where.lookUp(t.Context(), p, f, n, ports, metal.ProvisioningNetwork, Part{})
		lines := strings.Count(said.String(), "does not answer")
		if (step.says == "") != (lines == 0) || lines > 1 || !strings.Contains(said.String(), step.says) {
			t.Errorf("look %d: %q, want once %q", i, said.String(), step.says)
		}
	}
}
