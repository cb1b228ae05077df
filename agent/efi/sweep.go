package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Attributes of variables. Source: UEFI specification 2.10, §8.2, and its appendix of deprecated ones.
const (
	nonVolatile   = 0x1
	atRuntime     = 0x4
	authenticated = 0x10 | 0x20 | 0x80
)

// systems are the GUIDs under which operating systems and their loaders keep variables; no firmware does.
var systems = map[string]string{
	"4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": "boot loader interface", // systemd, docs/BOOT_LOADER_INTERFACE.md
	"605dab50-e046-4300-abb6-3dd810dd8b23": "shim",                  // rhboot/shim, lib/guid.c
	"cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0": "Linux crash dumps",     // Linux, drivers/firmware/efi/efi-pstore.c
}

// security is the GUID of the signature databases. Source: UEFI specification 2.10, §32.6.1.
const security = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"

// defined are the names that the specification gives to variables of global and that firmware itself writes. Driver####, SysPrep####,
// Key#### and OsRecovery#### are not among them: they are somebody's, and a tenant may have added some. Boot#### is Clean's.
// Source: UEFI specification 2.10, §3.3.
var defined = regexp.MustCompile(`^(Boot[0-9A-F]{4}|BootOrder|BootNext|BootCurrent|BootOptionSupport|ConIn|ConInDev|ConOut|ConOutDev|ErrOut|ErrOutDev|` +
	`Lang|LangCodes|PlatformLang|PlatformLangCodes|Timeout|OsIndications|OsIndicationsSupported|HwErrRecSupport|SetupMode|SecureBoot|AuditMode|DeployedMode|` +
	`DevAuthBoot|SignatureSupport|VendorKeys|PK|KEK|PKDefault|KEKDefault|dbDefault|dbxDefault|dbtDefault|dbrDefault|RuntimeServicesSupported|` +
	`CryptoIndications|CryptoIndicationsSupported|CryptoIndicationsActivated|PlatformRecovery[0-9A-F]{4}|DriverOrder|SysPrepOrder)$`)

var variableName = regexp.MustCompile(`^(.+)-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`)

// Sweep removes the variables that a tenant may have left: those of operating systems, and all that known, the names
// from before the first tenant, does not have; nil knows nothing, and then those of operating systems alone are removed.
// What firmware owns stays, and what has to be signed, cannot be written by a running system, or is gone with the next boot anyway. Every
// variable is tried, the errors are joined, and the list is read again: one that is there still is an error.
func (v Variables) Sweep(known []string) (removed, kept []string, err error) {
	before, err := v.names()
	if err != nil {
		return nil, nil, fmt.Errorf("list the variables: %w", err)
	}
	var errs []error
	removed, kept = []string{}, []string{} // lists in JSON, not null
	for _, name := range before {
		theirs, err := v.leftBy(name, known)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("read variable %s: %w", name, err))
		case !theirs:
			kept = append(kept, name)
		default:
			path := filepath.Join(v.Dir, name)
			v.unlock(path)
			if err := os.Remove(path); err != nil {
				errs = append(errs, fmt.Errorf("remove variable %s: %w", name, err))
				continue
			}
			removed = append(removed, name)
		}
	}
	after, err := v.names()
	errs = append(errs, err)
	for _, name := range removed {
		if slices.Contains(after, name) {
			errs = append(errs, fmt.Errorf("variable %s is there again after it was removed", name))
		}
	}
	return removed, kept, errors.Join(errs...)
}

// names are those of all variables, as efivarfs has them: the name, and behind it the GUID.
func (v Variables) names() (all []string, err error) {
	files, err := os.ReadDir(v.Dir)
	for _, f := range files {
		if variableName.MatchString(f.Name()) {
			all = append(all, f.Name())
		}
	}
	return all, err
}

// leftBy tells whether a variable is not the firmware's.
func (v Variables) leftBy(file string, known []string) (bool, error) {
	m := variableName.FindStringSubmatch(file)
	name, guid := m[1], m[2]
	if guid == security || guid == global && defined.MatchString(name) {
		return false, nil
	}
	if systems[guid] == "" && (known == nil || slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, file) })) {
		return false, nil
	}
	raw, err := os.ReadFile(filepath.Join(v.Dir, file))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(raw) < 4 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a := binary.LittleEndian.Uint32(raw)
	return a&nonVolatile != 0 && a&atRuntime != 0 && a&authenticated == 0, nil
}
