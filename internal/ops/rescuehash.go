package ops

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"unicode/utf8"

	"github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// How a rescue password is hashed ([conductor] rescue_password_hash_algorithm). The first two are upstream's.
const (
	HashSHA512   = "sha512"
	HashSHA256   = "sha256"
	HashYescrypt = "yescrypt"
)

// MaxRescuePassword is how long a rescue password may be, in bytes: hashing takes longer the longer it is.
const MaxRescuePassword = 1024

// shaRounds are those that crypt(3) takes where the hash names none.
const shaRounds = 5000

// yescryptSetting is the cost that libxcrypt gives new hashes: 16 MiB and about 50 ms.
const yescryptSetting = "$y$j9T$"

// HashRescue is a rescue password as the machine's /etc/shadow takes it. It wipes the bytes it is given, whatever it
// answers. The error is fault.Invalid and shows nothing of the password.
func (s *Service) HashRescue(password []byte) (secret.Secret, error) {
	defer clear(password)
	switch {
	case len(bytes.TrimSpace(password)) == 0:
		return secret.Secret{}, fault.New(fault.Invalid, "A non-empty rescue_password is required when setting target provision state to rescue.")
	case len(password) > MaxRescuePassword:
		return secret.Secret{}, fault.New(fault.Invalid, "The rescue_password has %d bytes; at most %d are possible.", len(password), MaxRescuePassword)
	case !utf8.Valid(password):
		return secret.Secret{}, fault.New(fault.Invalid, "The rescue_password is not UTF-8.")
	case bytes.ContainsAny(password, "\x00\r\n"):
		return secret.Secret{}, fault.New(fault.Invalid, "The rescue_password has a line end or a NUL byte in it: nobody could type that at a login.")
	}
	s.hashing <- struct{}{}
	defer func() { <-s.hashing }()
	hash, err := crypted(s.config.RescueHash, password)
	if err != nil {
		return secret.Secret{}, err
	}
	return secret.New(string(hash)), nil
}

// crypted is what crypt(3) makes of a password with a fresh salt of 96 bits.
func crypted(algorithm string, password []byte) ([]byte, error) {
	raw := make([]byte, 12)
	rand.Read(raw)
	salt := yescrypt.Encode64(raw) // 16 characters of crypt's alphabet
	switch algorithm {
	case HashSHA512:
		return fmt.Appendf(nil, "$6$%s$%s", salt, crypt.KeySHACrypt(sha512.New, password, salt, shaRounds)), nil
	case HashSHA256:
		return fmt.Appendf(nil, "$5$%s$%s", salt, crypt.KeySHACrypt(sha256.New, password, salt, shaRounds)), nil
	case HashYescrypt:
		return yescrypt.Hash(password, append([]byte(yescryptSetting), salt...))
	}
	return nil, fmt.Errorf("the hash %q of rescue passwords is not known", algorithm)
}
