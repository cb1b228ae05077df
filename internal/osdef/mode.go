package osdef

import (
	"net/url"
	"regexp"
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

// CheckStreams judges the URL of a folder with dumps of disks. It is shown, so it holds no credentials, and names of files are put
// behind its path.
func CheckStreams(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fault.New(fault.Invalid, "The URL of the export is not an http or https URL.")
	case u.User != nil:
		return fault.New(fault.Invalid, "The URL of the export has a user in it, and it is shown: give the user and the password apart from it.")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fault.New(fault.Invalid, "The URL of the export is that of a folder, so it has no query and no fragment.")
	case len(raw) > 2048:
		return fault.New(fault.Invalid, "The URL of the export has %d characters: at most 2048 can be.", len(raw))
	}
	return nil
}

// CheckInstance judges the name of an instance, which scripts make a host name of.
func CheckInstance(name string) error {
	if len(name) > 253 || !instanceName.MatchString(name) {
		return fault.New(fault.Invalid, "%.80q cannot be the name of an instance: it is a host name, of labels with up to 63 letters, digits and hyphens.", name)
	}
	return nil
}

var instanceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
