package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"ingot/internal/secret"
)

// notOnTheLine is why a flag takes no value that is private or secret, and what it takes.
const notOnTheLine = "a value on the command line would be seen by everybody on this host, and be kept in the shell's history: put it into a file, " +
	"or give - for standard input, fd:N for a descriptor, env:NAME for a variable of the environment"

// parameterLimit is more than any parameter of an OS definition may have.
const parameterLimit = 64<<10 + 2

// readHidden is read for what must not be shown: fd:N is a descriptor that this process was started with, env:NAME a variable. A
// file that has such a name is ./fd:N.
func readHidden(cmd *cobra.Command, from string, limit int64) ([]byte, error) {
	if name, ok := strings.CutPrefix(from, "env:"); ok {
		v, set := os.LookupEnv(name)
		switch {
		case !set:
			return nil, usagef("there is no variable %s in the environment", oneLine(name))
		case int64(len(v)) > limit:
			return nil, usagef("%s is larger than the %s allowed here", from, size(limit))
		}
		return []byte(v), nil
	}
	number, ok := strings.CutPrefix(from, "fd:")
	if !ok {
		return read(cmd, from, limit)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil || n == 1 || n == 2:
		return nil, usagef("%s: give the number of a descriptor that can be read, such as fd:3", from)
	case n == 0:
		return read(cmd, "-", limit)
	}
	f := os.NewFile(uintptr(n), from)
	if f == nil {
		return nil, usagef("%s: there is no such descriptor", from)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, hint(usagef("%s cannot be read: %v", from, err), "a shell opens one so: ingot … %s %d<FILE", from, n)
	case int64(len(b)) > limit:
		return nil, usagef("%s is larger than the %s allowed here", from, size(limit))
	}
	return b, nil
}

// namedSecret reads NAME=FILE of a flag. What FILE is, is not repeated where there is none: it may be the value.
func namedSecret(cmd *cobra.Command, flag, given string, limit int64) (name string, v secret.Secret, err error) {
	name, file, ok := strings.Cut(given, "=")
	if !ok || name == "" || file == "" {
		return "", v, hint(usagef("--%s wants NAME=FILE", flag), notOnTheLine)
	}
	v, err = readSecretOf(cmd, file, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return "", v, hint(usagef("--%s %s=FILE: there is no such file", flag, oneLine(name)), notOnTheLine)
	}
	if err == nil && !utf8.ValidString(v.Expose()) { // JSON would carry another value
		err = usagef("--%s %s=FILE: what %s holds is not UTF-8", flag, oneLine(name), source(file))
	}
	return name, v, err
}

// readTexts takes an object of names and texts from JSON or YAML. Values are as they are written: 010 is no number. A null is an
// empty pointer. Nothing of the file is repeated in an error.
func readTexts(cmd *cobra.Command, flag, from string) (map[string]*string, error) {
	b, err := readHidden(cmd, from, documentLimit)
	if err != nil {
		return nil, err
	}
	var nodes map[string]yaml.Node
	if yaml.Unmarshal(b, &nodes) != nil || nodes == nil {
		return nil, usagef("--%s %s: not a JSON or YAML object of names and texts", flag, source(from))
	}
	out := map[string]*string{}
	for name, n := range nodes {
		switch {
		case n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.ScalarNode:
			out[name] = &n.Alias.Value
		case n.Kind != yaml.ScalarNode:
			return nil, usagef("--%s %s: %s is not a text", flag, source(from), oneLine(name))
		case n.Tag == "!!null":
			out[name] = nil
		default:
			out[name] = &n.Value
		}
	}
	return out, nil
}

// onceEach refuses that two flags read what can be read once: standard input, or one descriptor.
func onceEach(pairs ...[2]string) error {
	taken := map[string]string{}
	for _, p := range pairs {
		flag, from := p[0], p[1]
		if from == "fd:0" {
			from = "-"
		}
		if from != "-" && !strings.HasPrefix(from, "fd:") {
			continue
		}
		if other := taken[from]; other != "" {
			return usagef("%s cannot be both %s and %s", source(from), other, flag)
		}
		taken[from] = flag
	}
	return nil
}

// fromEach are flag and FILE of every NAME=FILE.
func fromEach(flag string, given []string) (out [][2]string) {
	for _, s := range given {
		name, file, _ := strings.Cut(s, "=")
		out = append(out, [2]string{fmt.Sprintf("--%s %s", flag, oneLine(name)), file})
	}
	return out
}
