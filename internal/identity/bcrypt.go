package identity

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"
)

const (
	verifiedFor   = 5 * time.Minute  // a right password is not hashed again for so long
	refusedFor    = 10 * time.Second // nor a wrong one: programs with an old password try again and again
	verifiedLimit = 10_000
	refusedLimit  = 10_000
	queueOfOne    = 16   // log-ins of one address that may wait
	queuedFrom    = 1024 // addresses that may wait

	// MaxCost is the highest bcrypt cost that is taken: one check takes about four seconds of a core, and each more doubles it.
	MaxCost = 16
	// Cost is what HashPassword uses.
	Cost = 12
	// MaxPassword is bytes of a password; bcrypt reads no more.
	MaxPassword = 72
)

// checker compares passwords with bcrypt hashes, which is slow on purpose, without letting that slow the server: what was
// compared is remembered for a while, the same question is answered once for all who ask it at a time, and the rest passes
// a gate.
type checker struct {
	digests  digester
	verified *memory[struct{}]
	refused  *memory[struct{}]
	flights  singleflight.Group
	gate     *gate
	compared func() // told of each bcrypt comparison; for tests
}

func newChecker() *checker {
	// Two slots at least, so that one address cannot have all; half of the cores, so that requests have the others.
	slots := max(2, runtime.GOMAXPROCS(0)/2)
	return &checker{digests: newDigester(), verified: newMemory[struct{}](verifiedLimit), refused: newMemory[struct{}](refusedLimit),
		gate: newGate(slots, queueOfOne, queuedFrom), compared: func() {}}
}

// right tells whether the password is the one of hash. known is false for a user who does not exist: then hash is a decoy, whose
// comparison takes as long, and the answer is no. The hash is part of what is remembered, so a changed password is a new question.
func (c *checker) right(ctx context.Context, from netip.Addr, user, password, hash string, known bool) (bool, error) {
	k := c.digests.of(user, password, hash)
	if _, ok := c.verified.get(k); ok {
		return known, nil
	}
	if _, ok := c.refused.get(k); ok {
		return false, nil
	}
	// The flight outlives the request that began it: others wait for it too.
	flight := c.flights.DoChan(string(k[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second) // longer than any queue lasts
		defer cancel()
		leave, err := c.gate.enter(ctx, from)
		if err != nil {
			return false, err
		}
		defer leave()
		c.compared()
		ok := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil && known
		if ok {
			c.verified.put(k, struct{}{}, c.verified.clock().Add(verifiedFor))
		} else {
			c.refused.put(k, struct{}{}, c.refused.clock().Add(refusedFor))
		}
		return ok, nil
	})
	select {
	case r := <-flight:
		ok, _ := r.Val.(bool)
		return ok, r.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// checkHash tells whether text is a bcrypt hash that can be compared with. It does not repeat the text.
func checkHash(text string) (cost int, err error) {
	switch {
	case strings.HasPrefix(text, "$2y$"), strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"):
	case strings.HasPrefix(text, "$"), strings.HasPrefix(text, "{"):
		return 0, fmt.Errorf("the password is hashed by another method: only bcrypt ($2y$, $2a$, $2b$) is safe enough")
	default:
		return 0, fmt.Errorf("the password is not a bcrypt hash ($2y$, $2a$, $2b$)")
	}
	cost, err = bcrypt.Cost([]byte(text))
	if err == nil && len(text) != 60 {
		err = fmt.Errorf("it has %d characters in place of 60", len(text))
	}
	if err == nil {
		err = alphabet(text[7:])
	}
	if err != nil {
		return 0, fmt.Errorf("the bcrypt hash is damaged: %w", err)
	}
	if cost > MaxCost {
		return 0, fmt.Errorf("the bcrypt hash has a cost of %d, and more than %d would make every log-in wait", cost, MaxCost)
	}
	return cost, nil
}

// alphabet checks the letters of bcrypt's base64. Source: crypt(5), bcrypt.
func alphabet(s string) error {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '/') {
			return fmt.Errorf("it has a character that no hash has")
		}
	}
	return nil
}

// HashPassword makes the bcrypt hash of a new password.
func HashPassword(password string) (string, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("the password is empty")
	case len(password) > MaxPassword:
		return "", fmt.Errorf("the password has %d bytes, and bcrypt reads only %d", len(password), MaxPassword)
	case strings.ContainsRune(password, 0):
		return "", fmt.Errorf("the password has a zero byte")
	}
	h, err := bcrypt.GenerateFromPassword([]byte(password), Cost)
	return string(h), err
}

// decoys makes, for each cost, a hash that no password has.
func decoy(costs map[int]int) string {
	cost, most := 10, 0
	for c, n := range costs {
		if n > most || n == most && c > cost {
			cost, most = c, n
		}
	}
	const salt = "abcdefghijklmnopqrstuu"                                    // any salt; the last letter as bcrypt would write it
	return fmt.Sprintf("$2b$%02d$%s%s", cost, salt, strings.Repeat(".", 31)) // all zeros: nobody finds what hashes to it
}
