package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"gopkg.in/yaml.v3"

	"ingot/internal/secret"
)

const (
	secretLimit   = 4 << 10  // bytes of a password file
	documentLimit = 16 << 20 // bytes of user data, network data, a file of keys
)

// pair splits "key=value".
func pair(s string) (key, value string, err error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return "", "", usagef("%q is not KEY=VALUE", s)
	}
	return key, value, nil
}

// guess reads a value as JSON where it is a number, true, false, null, an object or a list; anything else
// is the text itself. So "4096" is a number and "x86_64" a string.
func guess(s string) any {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return s
	}
	if _, ok := v.(string); ok {
		return s // quotes were meant
	}
	if _, err := d.Token(); err != io.EOF {
		return s
	}
	return v
}

// pairs reads a repeated KEY=VALUE flag.
func pairs(list []string, value func(string) any) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range list {
		k, v, err := pair(s)
		if err != nil {
			return nil, err
		}
		out[k] = value(v)
	}
	return out, nil
}

// asText keeps a value as it was written: keys of driver_info are strings, a system id of 1 too.
func asText(s string) any { return s }

var secretKey = regexp.MustCompile(`(?i)passw|secret|token|credential|private_?key`)

// refuseSecret fails for a key whose value should not be seen by everybody who lists processes. instead is the flag
// that takes it from a file.
func refuseSecret(key, instead string) error {
	if !secretKey.MatchString(key) {
		return nil
	}
	return hint(usagef("%s on the command line is seen by every user of this machine", key),
		"give it from a file or standard input (- as FILE): %s", instead)
}

// switchValue reads on and off.
func switchValue(flag, s string) (bool, error) {
	switch strings.ToLower(s) {
	case "on", "true", "yes", "1":
		return true, nil
	case "off", "false", "no", "0":
		return false, nil
	}
	return false, usagef("--%s %s: say on or off", flag, s)
}

// read takes a file whole, "-" being standard input, and refuses more than limit bytes.
func read(cmd *cobra.Command, name string, limit int64) ([]byte, error) {
	var r io.Reader = cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &failure{err: err, code: exitUsage}
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, usagef("%s is larger than the %s allowed here", name, size(limit))
	}
	return b, nil
}

// readSecret takes a secret from a file, standard input, a descriptor or the environment, without its last line end; on a
// terminal it asks and does not echo.
func readSecret(cmd *cobra.Command, name, what string) (secret.Secret, error) {
	return readSecretOf(cmd, name, what, secretLimit)
}

func readSecretOf(cmd *cobra.Command, name, what string, limit int64) (secret.Secret, error) {
	var b []byte
	var err error
	if f, ok := cmd.InOrStdin().(*os.File); ok && name == "-" && atTerminal(cmd) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", what)
		b, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
	} else {
		b, err = readHidden(cmd, name, limit)
	}
	if err != nil {
		return secret.Secret{}, err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 {
		return secret.Secret{}, usagef("%s: %s is empty", what, source(name))
	}
	return secret.New(string(b)), nil
}

// source is the name of a file for people.
func source(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// atTerminal tells whether a person can be asked.
func atTerminal(cmd *cobra.Command) bool {
	f, ok := cmd.InOrStdin().(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readObject takes a JSON or YAML object from a file.
func readObject(cmd *cobra.Command, name string) (map[string]any, error) {
	b, err := read(cmd, name, documentLimit)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := yaml.Unmarshal(b, &out); err != nil {
		return nil, usagef("%s: not a JSON or YAML object: %v", name, err)
	}
	if out == nil {
		return nil, usagef("%s: not a JSON or YAML object", name)
	}
	return out, nil
}

// size writes a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f /= unit
		i++
	}
	if f < 10 {
		return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
	}
	return fmt.Sprintf("%.0f %ciB", f, "KMGTP"[i])
}
