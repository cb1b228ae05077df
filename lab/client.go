package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"ingot/internal/secret"
	"ingot/lab/bmc"
)

// Machine is one machine of a lab that is up, as a test sees it from outside.
type Machine struct {
	MachineState
	Password secret.Secret

	client *http.Client
}

// askLimit is how long a BMC may take to answer one question of ours.
const askLimit = 30 * time.Second

var errWrongCertificate = errors.New("this is not the certificate of the lab's BMC")

func newMachine(s MachineState) (*Machine, error) {
	password, err := readPassword(s.PasswordFile)
	if err != nil {
		return nil, err
	}
	pin := func(raw [][]byte, _ [][]*x509.Certificate) error {
		sum := sha256.Sum256(raw[0])
		if hex.EncodeToString(sum[:]) != s.Fingerprint {
			return errWrongCertificate
		}
		return nil
	}
	return &Machine{MachineState: s, Password: secret.New(password), client: &http.Client{Timeout: askLimit,
		// The pin is the verification.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: pin,
			ServerName: bmc.LabName}}}}, nil
}

// Counters tells how often each thing was asked of the machine's BMC since up; the names are those of
// package bmc ("Reset.On", "InsertMedia", …).
func (m *Machine) Counters(ctx context.Context) (map[string]int, error) {
	var n map[string]int
	return n, m.ask(ctx, http.MethodGet, "/lab/counters", nil, &n)
}

// SetFaults replaces the faults planted in the machine's BMC; without any it clears them.
func (m *Machine) SetFaults(ctx context.Context, faults ...bmc.Fault) error {
	if faults == nil {
		faults = []bmc.Fault{}
	}
	return m.ask(ctx, http.MethodPut, "/lab/faults", faults, nil)
}

// Faults lists what is planted in the machine's BMC.
func (m *Machine) Faults(ctx context.Context) ([]bmc.Fault, error) {
	var list []bmc.Fault
	return list, m.ask(ctx, http.MethodGet, "/lab/faults", nil, &list)
}

// ExpireSessions ends all sessions of the machine's BMC.
func (m *Machine) ExpireSessions(ctx context.Context) error {
	return m.ask(ctx, http.MethodDelete, "/lab/sessions", nil, nil)
}

// Power is "On" or "Off". It counts as a request of the BMC.
func (m *Machine) Power(ctx context.Context) (string, error) {
	var system struct{ PowerState string }
	return system.PowerState, m.ask(ctx, http.MethodGet, bmc.SystemPath, nil, &system)
}

// Console is the end of what the machine has printed, at most limit bytes.
func (m *Machine) Console(limit int64) ([]byte, error) { return tail(m.ConsolePath, limit) }

// NetworkData is the machine's suggested network_data.
func (m *Machine) NetworkData() (map[string]any, error) {
	b, err := os.ReadFile(m.NetworkDataFile)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	return v, json.Unmarshal(b, &v)
}

// ask sends one request to the BMC; in and out are JSON, nil for none.
func (m *Machine) ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.BMCURL+path, body)
	if err != nil {
		return err
	}
	req.SetBasicAuth(m.User, m.Password.Expose())
	resp, err := m.client.Do(req)
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
