// Package boot finds out what this boot of the ramdisk is for: which control plane, which node, which
// token, which network. It comes from the boot CD that a BMC presents, or from the kernel's command line.
//
// A disk of the machine must not be able to say so: whoever had the machine before could have left a
// partition labelled like the boot CD. Only CD drives are looked at. Nothing here uses the network or
// changes anything; cmd/ingot-agent calls it.
package boot

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
)

const (
	// maxConfig is the size of the place for boot.json in the boot ISO.
	maxConfig = 64 << 10
	// minToken is the shortest token that is believed to be one. Source: agent protocol reference §5.1.
	minToken = 32
)

// Parse reads boot.json, which is padded with white space. The error says what is wrong with it, and never
// holds what is in it.
func Parse(data []byte) (agentapi.BootConfig, error) {
	var c agentapi.BootConfig
	if len(data) > maxConfig {
		return c, fmt.Errorf("boot.json is larger than %d bytes", maxConfig)
	}
	data = bytes.Trim(data, "\x00 \t\r\n")
	if len(data) == 0 {
		return c, errors.New("boot.json is empty: the boot medium is a template that was not filled in")
	}
	if err := json.Unmarshal(data, &c); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return agentapi.BootConfig{}, fmt.Errorf("boot.json: %s is of the wrong type", wrong.Field)
		}
		return agentapi.BootConfig{}, errors.New("boot.json is not JSON")
	}
	switch {
	case c.Version != 1:
		return agentapi.BootConfig{}, fmt.Errorf("boot.json has version %d; this agent knows 1", c.Version)
	case c.AgentToken != "" && len(c.AgentToken) < minToken:
		return agentapi.BootConfig{}, fmt.Errorf("boot.json has a token shorter than %d characters", minToken)
	case c.AgentToken != "" && c.NodeUUID == "" && c.APIURL != "":
		return agentapi.BootConfig{}, errors.New("boot.json has a token and no node it belongs to")
	}
	if _, err := Time(c); err != nil {
		return agentapi.BootConfig{}, err
	}
	if err := checkTrust(c); err != nil {
		return agentapi.BootConfig{}, err
	}
	return c, nil
}

// checkTrust looks at what a boot is for and whom it trusts. Its errors hold nothing of keys.
func checkTrust(c agentapi.BootConfig) error {
	switch {
	case !slices.Contains([]agentapi.Role{agentapi.RoleDeploy, agentapi.RoleRescue, agentapi.RoleInstall}, c.Role):
		return fmt.Errorf("boot.json has the role %.20q, which this agent does not know: rebuild the ramdisk", string(c.Role))
	case c.PollOnly && c.AgentToken == "":
		return errors.New("boot.json is of a boot that is only polled, and has no token: nobody could send commands")
	case (c.Certificate == "") != (c.Key == ""):
		return errors.New("boot.json has a certificate without its key, or a key without its certificate")
	}
	if c.Certificate != "" {
		if _, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key)); err != nil {
			return errors.New("boot.json: certificate and key are not a pair")
		}
	}
	if c.Client != "" {
		if _, err := agentapi.ParseCertificate(c.Client); err != nil {
			return fmt.Errorf("boot.json: client: %w", err)
		}
	}
	return nil
}

// Time is when the configuration was served; zero if it does not say.
func Time(c agentapi.BootConfig) (time.Time, error) {
	if c.Time == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, c.Time)
	if err != nil {
		return time.Time{}, errors.New("boot.json: time is not in RFC 3339")
	}
	return t, nil
}

// Params are the parameters on the kernel's command line: words with a "=", the last of a name wins. There
// is no quoting. Source: agent protocol reference §1.1.
type Params map[string]string

// ParseParams reads a command line.
func ParseParams(line string) Params {
	p := Params{}
	for word := range strings.FieldsSeq(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			p[name] = value
		}
	}
	return p
}

// VirtualMedia tells whether a boot CD is promised.
func (p Params) VirtualMedia() bool { return p["boot_method"] == "vmedia" }

// Debug tells whether everything is to be logged.
func (p Params) Debug() bool {
	switch strings.ToLower(p["ipa-debug"]) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

// Config is what a machine that booted from the network is told: the control plane, sometimes a token. A token alone
// is of a boot that is only polled. ok is false if there is neither.
func (p Params) Config() (c agentapi.BootConfig, ok bool) {
	c = agentapi.BootConfig{Version: 1, APIURL: p["ipa-api-url"], AgentToken: p["ipa-agent-token"]}
	return c, c.APIURL != "" || len(c.AgentToken) >= minToken
}

// Masked is the command line without what is secret in it, for logs.
func Masked(line string) string {
	words := strings.Fields(line)
	for i, w := range words {
		if name, _, ok := strings.Cut(w, "="); ok && strings.Contains(strings.ToLower(name), "token") {
			words[i] = name + "=******"
		}
	}
	return strings.Join(words, " ")
}
