package osdef

import (
	"net/url"
	"strings"

	"ingot/internal/fault"
)

// The execution modes: how a machine runs for the first time.
const (
	ModeRun         = "run"          // from its disk, as ever after
	ModeInstall     = "install"      // image, scripts and package, in the ramdisk
	ModeSelfInstall = "self_install" // from a medium that installs by itself
)

// CheckMode judges the name of an execution mode.
func CheckMode(mode string) error {
	switch mode {
	case ModeRun, ModeInstall, ModeSelfInstall:
		return nil
	}
	return fault.New(fault.Invalid, "%.40q is no execution mode: there are %s, %s and %s.", mode, ModeRun, ModeInstall, ModeSelfInstall)
}

// CheckPackage judges the URL of a personalization package. It is stored and shown, so it holds no credentials.
func CheckPackage(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fault.New(fault.Invalid, "The URL of the personalization package is not an http or https URL.")
	case u.User != nil:
		return fault.New(fault.Invalid, "The URL of the personalization package has a user in it, and it is stored: give personalization_user and personalization_password, which are not.")
	case len(raw) > 2048:
		return fault.New(fault.Invalid, "The URL of the personalization package has %d characters: at most 2048 can be.", len(raw))
	}
	for _, end := range []string{".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(u.Path, end) {
			return nil
		}
	}
	return fault.New(fault.Invalid, "The URL of the personalization package does not end in .tar.gz, .tgz or .tar.zst, which says what it is.")
}
