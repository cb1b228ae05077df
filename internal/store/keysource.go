package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// keyText is how many bytes a key may take as text.
const keyText = 1 << 10

// wrappedLimit is bytes of a wrapped key.
const wrappedLimit = 64 << 10

// KeyOf makes a key of what somebody gave: 32 bytes, or their hexadecimal or base64 form, with blanks around it. what
// names the place for the error, which shows nothing of the key. given is wiped.
func KeyOf(given []byte, what string) (Key, error) {
	defer clear(given)
	if len(given) == keySize {
		return newKey(given)
	}
	text := bytes.TrimSpace(given)
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(raw)
	for _, decode := range []func(dst, src []byte) (int, error){hex.Decode, base64.StdEncoding.Decode} {
		if n, err := decode(raw, text); err == nil && n == keySize {
			return newKey(raw[:n])
		}
	}
	return Key{}, fmt.Errorf("%s holds no key: a key is %d bytes, or their hexadecimal or base64 form", what, keySize)
}

// KeyCommand is a program that unwraps the key. It gets the wrapped key at its standard input and writes the key to its
// standard output; an exit status other than 0 is its failure, and what it writes to standard error says why.
type KeyCommand struct {
	Argv    []string
	Wrapped string // file
	Limit   time.Duration
}

// Key asks the program.
func (c KeyCommand) Key(ctx context.Context) (Key, error) {
	if c.Wrapped == "" {
		return Key{}, errors.New("[database] key_command needs wrapped_key_file: the file with the wrapped key, which it is given")
	}
	wrapped, err := readAtMost(c.Wrapped, wrappedLimit)
	if err != nil {
		return Key{}, fmt.Errorf("[database] wrapped_key_file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	out, said := &bounded{limit: keyText, ends: true}, &bounded{limit: keyText}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(wrapped), out, said
	cmd.WaitDelay = time.Second // who inherited its output may hold it open
	err = cmd.Run()
	defer clear(out.b)
	switch {
	case out.over:
		return Key{}, fmt.Errorf("[database] key_command %s wrote more than %d bytes: that is no key", c.Argv[0], keyText)
	case ctx.Err() != nil:
		return Key{}, fmt.Errorf("[database] key_command %s did not answer within %s", c.Argv[0], c.Limit)
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(string(said.b)), "\n")
		if first == "" {
			return Key{}, fmt.Errorf("[database] key_command %s: %w", c.Argv[0], err)
		}
		return Key{}, fmt.Errorf("[database] key_command %s: %w; it said: %q", c.Argv[0], err, first)
	}
	return KeyOf(out.b, "what [database] key_command "+c.Argv[0]+" wrote")
}

// bounded keeps the beginning of what is written.
type bounded struct {
	b          []byte
	limit      int
	over, ends bool // more was written; that is an error
}

func (w *bounded) Write(p []byte) (int, error) {
	room := min(w.limit-len(w.b), len(p))
	w.b = append(w.b, p[:room]...)
	w.over = w.over || room < len(p)
	if w.over && w.ends {
		return room, io.ErrShortWrite // the program finds nobody who reads
	}
	return len(p), nil
}

func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing is lost
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}
