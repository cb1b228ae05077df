package ramdisk

import (
	"path/filepath"
	"regexp"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// folders are those below a server's data where it looks for the ramdisks, by kind.
var folders = map[string]string{depot.KindDeploy: "ramdisk", depot.KindDebian: "ramdisk-debian"}

// Folder is where a server with this data folder looks for a ramdisk of this kind.
func Folder(data, kind string) string { return filepath.Join(data, folders[kind]) }

// packageName is what may be asked of apt: a name, perhaps a version. Source: Debian policy, 5.6.1 and 5.6.12.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]+(=[A-Za-z0-9.+~:-]+)?$`)

func (o *Options) checkKind() error {
	if o.Kind == "" {
		o.Kind = depot.KindDeploy
	}
	if _, ok := folders[o.Kind]; !ok {
		return fault.New(fault.Invalid, "There is no ramdisk of the kind %q: it is %s or %s.", o.Kind, depot.KindDeploy, depot.KindDebian)
	}
	if o.Kind != depot.KindDebian && len(o.Include) > 0 {
		return fault.New(fault.Invalid, "Packages can be included in the Debian ramdisk only: add --kind %s.", depot.KindDebian)
	}
	for _, name := range o.Include {
		if !packageName.MatchString(name) {
			return fault.New(fault.Invalid, "%q, given as --include, is no package's name.", name)
		}
	}
	return nil
}
