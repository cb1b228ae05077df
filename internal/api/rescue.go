package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Limits of rescue_ssh_keys, and of rescue_callback_timeout in seconds.
const (
	maxRescueKeys = 32
	maxRescueKey  = 8 << 10 // bytes of a line; RSA of 16384 bits has 2.8 KiB
	maxRescueWait = 30 * 24 * 60 * 60
)

// clearText is the password of a request. Read from JSON it takes the bytes out of the text it was read from, and leaves a
// string of as many bytes that says nothing. Source: docs/decisions/0043-rescue-passwords-are-hashed-at-the-door.md.
type clearText []byte

// UnmarshalJSON takes text, which is part of the request's body; what is no string it leaves for others to refuse.
func (c *clearText) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return nil
	}
	clear(*c) // of a key that is given twice the last counts
	*c = nil
	valid := utf8.Valid(text)
	if err := json.Unmarshal(text, (*unquoted)(c)); err != nil {
		return err
	}
	for i := 1; i < len(text)-1; i++ {
		text[i] = 'x'
	}
	if !valid { // reading replaced bytes, and made another password of it: it stays what hashing refuses
		*c = append(*c, 0xff)
	}
	return nil
}

// unquoted takes the bytes that a JSON string stands for, with no string in between: strings cannot be wiped.
type unquoted []byte

func (u *unquoted) UnmarshalText(text []byte) error {
	*u = bytes.Clone(text)
	return nil
}

// takePassword takes the rescue password out of the body before anything else reads it. Who calls wipes it.
func (c *call) takePassword() (clearText, error) {
	if c.has("rescue_password") || c.has("rescue_ssh_keys") {
		return nil, invalid("rescue_password and rescue_ssh_keys are taken in the body of a request only: servers on the way keep what is in a URL.")
	}
	if !bytes.Contains(c.body, []byte("rescue")) && !bytes.Contains(c.body, []byte(`\u`)) { // config drives are long
		return nil, nil
	}
	var body struct {
		Password clearText `json:"rescue_password"`
	}
	err := json.Unmarshal(c.body, &body)
	var at *json.SyntaxError
	if errors.As(err, &at) { // its words quote a character
		return nil, invalid("The request body is not valid JSON, at byte %d.", at.Offset)
	}
	return body.Password, nil // what else is wrong is said by who reads all of it
}

// readRescue reads what the verb rescue is told besides the password itself.
func (rq *request) readRescue(args map[string]any) error {
	if v := args["rescue_password"]; v != nil {
		if _, ok := v.(string); !ok {
			return invalid("Invalid input for rescue_password: it must be a string.")
		}
		rq.hasPassword = true
	}
	var err error
	if rq.rescue.Keys, err = readKeys(args["rescue_ssh_keys"]); err != nil {
		return err
	}
	if v := args["rescue_callback_timeout"]; v != nil {
		seconds, ok := intOf(v)
		if !ok || seconds < 0 || seconds > maxRescueWait {
			return invalid("rescue_callback_timeout must be a whole number of seconds from 1 to %d, or 0 for no limit.", maxRescueWait)
		}
		limit := time.Duration(seconds) * time.Second
		rq.rescue.Limit = &limit
	}
	return nil
}

// hashPassword has the password hashed: from here on nobody has it. What is wrong with it is said when its turn comes.
func (rq *request) hashPassword(password clearText) {
	if rq.verb == metal.VerbRescue && rq.hasPassword {
		rq.rescue.Hash, rq.badPassword = rq.s.HashRescue(password)
	}
}

// readKeys reads rescue_ssh_keys: lines of authorized_keys, each a public key that an SSH server takes. Options are refused: they would
// run commands, or trust other keys.
func readKeys(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Invalid rescue_ssh_keys: it must be an array of public SSH keys, in the body.")
	}
	if len(list) > maxRescueKeys {
		return nil, invalid("rescue_ssh_keys has %d keys; at most %d are possible.", len(list), maxRescueKeys)
	}
	out := make([]string, len(list))
	for i, v := range list {
		line, ok := v.(string)
		if !ok {
			return nil, invalid("Invalid rescue_ssh_keys: key %d must be a string.", i+1)
		}
		var err error
		if out[i], err = ParseRescueKey(line); err != nil {
			text, _ := fault.PublicOf(err)
			return nil, invalid("Invalid rescue_ssh_keys: key %d %s", i+1, text)
		}
	}
	return out, nil
}

// ParseRescueKey reads one line of authorized_keys that has no options, and gives it in its usual form. The error, fault.Invalid, is a phrase
// about the key.
func ParseRescueKey(line string) (string, error) {
	if len(line) > maxRescueKey {
		return "", invalid("has %d bytes; at most %d are possible.", len(line), maxRescueKey)
	}
	line = strings.TrimSpace(line)
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return "", invalid("is a private key: give the public one, from the file that ends in .pub.")
	case strings.ContainsAny(line, "\r\n\x00"), err == nil && len(rest) > 0:
		return "", invalid("has more than one line: give each key as an element of its own.")
	case err != nil:
		return "", invalid("is no public SSH key, such as \"ssh-ed25519 AAAA… name\".")
	case len(options) > 0:
		return "", invalid("has options before it: only plain keys are taken.")
	}
	if _, cert := key.(*ssh.Certificate); cert {
		return "", invalid("is a certificate: give a plain key.")
	}
	out := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if comment = strings.Map(printable, comment); comment != "" {
		out += " " + comment
	}
	return out, nil
}

// printable drops what does not belong into a line of a file.
func printable(r rune) rune {
	if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
		return -1
	}
	return r
}

// mean finds what the verb means for the node: active may end a rescue, for clients that know there is one.
func (rq *request) mean() {
	if verb := rq.verb.In(rq.node.ProvisionState); rq.minor >= metal.Verbs[verb].Min {
		rq.meant, rq.verb = verb != rq.verb, verb
	}
}

// checkMeant: what goes with a deployment does not go with the end of a rescue.
func (rq *request) checkMeant() error {
	if rq.meant && (rq.configDrive != nil || len(rq.deploySteps) > 0) {
		return invalid("Node %s is in state %q, where the target active ends the rescue as unrescue does: it takes no config drive and no steps. Use rebuild to deploy anew, after the rescue.",
			rq.node.UUID, rq.node.ProvisionState)
	}
	return nil
}

// checkRescue: what only the verb rescue takes.
func (rq *request) checkRescue() error {
	what := ""
	switch {
	case rq.verb == metal.VerbRescue:
		return nil
	case rq.hasPassword:
		what = "rescue_password"
	case rq.rescue.Keys != nil:
		what = "rescue_ssh_keys"
	case rq.rescue.Limit != nil:
		what = "rescue_callback_timeout"
	default:
		return nil
	}
	return invalid("%s is only valid when setting target provision state to rescue.", what)
}

// checkAccess: nobody could log in to a machine that is rescued without a password or keys.
func (rq *request) checkAccess() error {
	switch {
	case rq.verb != metal.VerbRescue:
		return nil
	case rq.badPassword != nil:
		return rq.badPassword
	case !rq.hasPassword && len(rq.rescue.Keys) == 0:
		return invalid("A non-empty rescue_password is required when setting target provision state to rescue, or rescue_ssh_keys.")
	}
	return nil
}
