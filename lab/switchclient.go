package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"ingot/internal/fault"
	"ingot/lab/bmc"
	"ingot/lab/vswitch"
)

// Ports lists the ports of the lab's switch as they are set.
func (l *Lab) Ports(ctx context.Context) ([]vswitch.State, error) {
	var out []vswitch.State
	return out, l.askSwitch(ctx, http.MethodGet, "/lab/ports", nil, &out)
}

// SetSwitchFaults replaces the faults planted in the lab's switch; without any it clears them.
func (l *Lab) SetSwitchFaults(ctx context.Context, faults ...vswitch.Fault) error {
	return l.askSwitch(ctx, http.MethodPut, "/lab/faults", append([]vswitch.Fault{}, faults...), nil)
}

// askSwitch sends one request to the lab's switch; in and out are JSON, nil for none.
func (l *Lab) askSwitch(ctx context.Context, method, path string, in, out any) error {
	if l.Switch == nil {
		return fault.New(fault.NotFound, "This lab has no switch: `ingot lab up --switch` makes one that has.")
	}
	ca, err := os.ReadFile(l.Switch.CAFile)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(l.Switch.TokenFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(l.Switch.URL, "/v1")+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	c := &http.Client{Timeout: askLimit, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// switchTable shows the switch's ports, for a lab with one.
func (l *Lab) switchTable(ctx context.Context, w io.Writer) error {
	if l.Switch == nil {
		return nil
	}
	fmt.Fprintf(w, "switch: %s, token in %s, CA in %s\nits networks: %s; of tenants: %s\n", l.Switch.URL, l.Switch.TokenFile, l.Switch.CAFile,
		strings.Join(l.Switch.Networks, " "), strings.Join(l.Switch.Tenants, " "))
	ports, err := l.Ports(ctx)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MAC\tSWITCH ID\tPORT ID\tNETWORK\tOWNER")
	for _, m := range l.Machines {
		for i, p := range m.MachineState.Ports {
			network, owner := "(isolated)", ""
			for _, s := range ports {
				if s.Switch == p.SwitchID && s.Port == p.PortID {
					if s.Network != nil {
						network = *s.Network
					}
					owner = s.Owner
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.MACs[i], p.SwitchID, p.PortID, network, owner)
		}
	}
	return t.Flush()
}

// switchFaults plants faults in the switch, or shows those that are planted.
func (l *Lab) switchFaults(ctx context.Context, w io.Writer, list []bmc.Fault, remove bool) error {
	if remove || len(list) > 0 {
		var faults []vswitch.Fault
		for _, f := range list {
			faults = append(faults, vswitch.Fault{Name: f.Name, Times: f.Times})
		}
		if err := l.SetSwitchFaults(ctx, faults...); err != nil {
			return err
		}
	}
	var planted []vswitch.Fault
	if err := l.askSwitch(ctx, http.MethodGet, "/lab/faults", nil, &planted); err != nil {
		return err
	}
	if len(planted) == 0 {
		fmt.Fprintln(w, "the switch has no faults")
	}
	for _, f := range planted {
		if f.Times > 0 {
			fmt.Fprintf(w, "%s, %d more times\n", f.Name, f.Times)
		} else {
			fmt.Fprintln(w, f.Name)
		}
	}
	return nil
}
