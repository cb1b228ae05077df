package rescue

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"ingot/agent/network"
	"ingot/internal/agentapi"
)

const (
	// noPassword in shadow(5) is a hash that no password has: the account can be logged in to by key only.
	noPassword = "*"
	maxKeys    = 64
	maxKey     = 16 << 10 // bytes; an RSA key of 16384 bits has 2.8 KB
)

// hashes are the forms of crypt(5) that are taken: SHA-256, SHA-512 and yescrypt. Nothing in them divides the fields or the
// lines of shadow(5).
var hashes = regexp.MustCompile(`\A(?:` +
	`\$5\$(?:rounds=[0-9]{1,9}\$)?[./0-9A-Za-z]{0,16}\$[./0-9A-Za-z]{43}|` +
	`\$6\$(?:rounds=[0-9]{1,9}\$)?[./0-9A-Za-z]{0,16}\$[./0-9A-Za-z]{86}|` +
	`\$y\$[./0-9A-Za-z]{1,32}\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43})\z`)

// Check looks at the parameters of a rescue. Its errors hold nothing of them.
func Check(p agentapi.FinalizeRescue) error {
	switch {
	case !p.Hashed:
		return errors.New("only a password that is hashed is taken: hashed must be true")
	case p.RescuePassword != noPassword && !hashes.MatchString(p.RescuePassword):
		return errors.New("rescue_password is not a hash of crypt's forms $5$, $6$ or $y$, nor *")
	case p.RescuePassword == noPassword && len(p.SSHKeys) == 0:
		return errors.New("there is neither a password nor a key: nobody could log in")
	case len(p.SSHKeys) > maxKeys:
		return fmt.Errorf("there are more than %d keys", maxKeys)
	}
	for i, key := range p.SSHKeys {
		if err := checkKey(key); err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	if _, err := network.Parse(p.NetworkData); err != nil {
		return err
	}
	return nil
}

// checkKey wants one line of authorized_keys; what sshd makes of it is sshd's.
func checkKey(key string) error {
	switch {
	case strings.TrimSpace(key) == "" || strings.HasPrefix(strings.TrimSpace(key), "#"):
		return errors.New("it is empty")
	case len(key) > maxKey:
		return fmt.Errorf("it is longer than %d bytes", maxKey)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("it is more than one line of text")
	}
	return nil
}
