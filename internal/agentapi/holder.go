package agentapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What a conductor of ours tells an agent of ours with each request, in headers: an agent of another make hands
// unknown parameters to its steps and fails on them, and does not look at headers.
const (
	// HolderHeader says for which operation, and under which of its claims, the request is made.
	HolderHeader = "X-Ingot-Generation"
	// KeyHeader names the command: one that the agent has seen under this key is not run again.
	KeyHeader = "X-Ingot-Key"
	// InstanceHeader says which start of the agent the request is for, in the words of its Status: any other has forgotten what that one
	// was told, and refuses it.
	InstanceHeader = "X-Ingot-Instance"
)

// maxKey bounds a key, bytes.
const maxKey = 200

// ErrSuperseded: the agent has heard of a newer holder of the machine, so this one must stop (fault.Conflict).
var ErrSuperseded = errors.New("the agent works for a newer holder")

// ErrStartedAnew: the agent is not the one that the request is for, but another start of it (fault.Conflict). Nothing was started.
var ErrStartedAnew = errors.New("the agent was started anew")

// Holder is who commands an agent: an operation, and its generation, which grows with every claim. A later operation
// of a node has a higher number.
type Holder struct{ Operation, Generation int64 }

// String is the form of HolderHeader.
func (h Holder) String() string { return fmt.Sprintf("%d.%d", h.Operation, h.Generation) }

// Older tells whether h was followed by other.
func (h Holder) Older(other Holder) bool {
	return h.Operation < other.Operation || h.Operation == other.Operation && h.Generation < other.Generation
}

// ParseHolder reads HolderHeader. An empty text is the zero Holder: a conductor of another make.
func ParseHolder(text string) (h Holder, err error) {
	if text == "" {
		return h, nil
	}
	operation, generation, ok := strings.Cut(text, ".")
	if h.Operation, err = strconv.ParseInt(operation, 10, 64); err == nil {
		h.Generation, err = strconv.ParseInt(generation, 10, 64)
	}
	if !ok || err != nil || h.Operation < 1 || h.Generation < 1 {
		return Holder{}, fmt.Errorf("%s must be two numbers above 0, divided by a dot", HolderHeader)
	}
	return h, nil
}

// ValidKey tells whether a text may be a key.
func ValidKey(key string) bool {
	return len(key) <= maxKey && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == ""
}
