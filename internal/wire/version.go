package wire

import (
	"fmt"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// The range of minor versions this server speaks; the major is always 1.
const (
	MinMinor = 1
	MaxMinor = 115
)

// The headers of version negotiation.
const (
	HeaderVersion  = "X-OpenStack-Ironic-API-Version"         // both ways; on an answer, the version in effect
	HeaderMin      = "X-OpenStack-Ironic-API-Minimum-Version" // on every answer
	HeaderMax      = "X-OpenStack-Ironic-API-Maximum-Version" // on every answer
	HeaderStandard = "OpenStack-API-Version"                  // request only: "baremetal 1.N"
	HeaderRequest  = "OpenStack-Request-Id"                   // on every answer: "req-<uuid>"
	HeaderRequestX = "X-OpenStack-Request-Id"                 // the same, for other clients
)

// Minors of the versions that changed how things look, beside the fields whose tables have their own.
const (
	SinceAvailable   = 2   // the state "available" is no longer null
	SinceFreeNames   = 10  // names of nodes may have all that URLs take
	SinceInspectWait = 39  // the state "inspect wait" is no longer "inspecting"
	SinceVTEP        = 90  // local_link_connection may lead to an OVN VTEP
	SinceNoVTEP      = 105 // it may not any more
)

// Version is how a minor version is written: "1.N".
func Version(minor int) string { return "1." + strconv.Itoa(minor) }

// Negotiate gives the minor version in effect for a request with these headers: every value of
// HeaderStandard and the value of HeaderVersion. The standard header wins if it names baremetal; the last
// such entry counts. No header means 1.1, not the newest. Any error is fault.NotAcceptable.
func Negotiate(standard []string, legacy string) (int, error) {
	asked := strings.TrimSpace(legacy)
	for _, h := range standard {
		for entry := range strings.SplitSeq(h, ",") {
			if f := strings.Fields(entry); len(f) == 2 && strings.EqualFold(f[0], "baremetal") {
				asked = f[1]
			}
		}
	}
	if asked == "" {
		return MinMinor, nil
	}
	if strings.EqualFold(asked, "latest") {
		return MaxMinor, nil
	}
	major, minor, ok := parseVersion(asked)
	switch {
	case !ok:
		return 0, fault.New(fault.NotAcceptable,
			"Invalid value for %s header: %q. Send MAJOR.MINOR, such as %s, or latest.", HeaderVersion, clip(asked), Version(MaxMinor))
	case major != 1:
		return 0, fault.New(fault.NotAcceptable,
			"Mutually exclusive versions requested. Version %s requested but not supported by this service. %s", clip(asked), supported())
	case minor < MinMinor || minor > MaxMinor:
		return 0, fault.New(fault.NotAcceptable,
			"Version %s was requested but the minor version is not supported by this service. %s", clip(asked), supported())
	}
	return minor, nil
}

func supported() string {
	return fmt.Sprintf("The supported version range is: [%s, %s].", Version(MinMinor), Version(MaxMinor))
}

// parseVersion reads digits, a dot, digits; nothing else counts as a version.
func parseVersion(s string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(s, ".")
	if !found || len(a) > 6 || len(b) > 6 {
		return 0, 0, false
	}
	x, errA := strconv.ParseUint(a, 10, 32)
	y, errB := strconv.ParseUint(b, 10, 32)
	return int(x), int(y), errA == nil && errB == nil
}

// clip keeps a caller's text short enough to be repeated to them.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
