package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/peer"
	"ingot/internal/policy"
)

// Limits of what this host should have; beyond them the doctor says something.
const (
	diskWarn       = 5 << 30 // bytes free where the data are: logs and ramdisks of some months
	diskFail       = 256 << 20
	ramdiskOld     = 90 * 24 * time.Hour // kernels and the agent get security updates
	certificateDue = 30 * 24 * time.Hour
)

func fine(check, format string, args ...any) metal.Finding {
	return metal.Finding{Check: check, Level: metal.Fine, Said: fmt.Sprintf(format, args...)}
}

func wrong(level metal.Level, check, said, do string) metal.Finding {
	return metal.Finding{Check: check, Level: level, Said: said, Do: do}
}

// examineHost is what can be told of this host without a server. serving: a server answers here, so that its
// ports are in use for a good reason.
func examineHost(ctx context.Context, data, file string, serving bool) []metal.Finding {
	loaded, err := config.Load(file, os.Environ())
	if err != nil {
		return append([]metal.Finding{wrong(metal.Fail, "configuration", strings.ReplaceAll(err.Error(), "\n", "; "), "Mend the file or the variables; docs/config.md lists the options.")},
			examineData(data)...)
	}
	out := append([]metal.Finding{fine("configuration", "It can be read.")}, examineData(data)...)
	out = append(out, examineUsers(data, loaded.Config)...)
	out = append(out, examinePolling(loaded.Config)...)
	out = append(out, examineNetworks(loaded.Config.Netboot)...)
	out = append(out, examineVendordata(loaded.Config)...)
	out = append(out, examineMetadata(loaded.Config.Metadata, serving)...)
	out = append(append(out, examineRamdisks(data, loaded.Config)...), examineClock())
	if !serving {
		out = append(out, examinePorts(loaded.Config)...)
	}
	return out
}

// examineData looks at the data folder: modes, owner, key and free space.
func examineData(data string) []metal.Finding {
	info, err := os.Stat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return []metal.Finding{wrong(metal.Warn, "data folder", "There is no folder "+data+" yet.", "ingot serve makes it; --data names another.")}
	}
	if err != nil {
		return []metal.Finding{wrong(metal.Fail, "data folder", err.Error(), "Run the doctor as the user that runs the server.")}
	}
	out := []metal.Finding{mode("data folder", data, info, 0o077)}
	for _, f := range []struct{ check, name string }{{"database file", "ingot.db"}, {"key file", "ingot.key"}} {
		info, err := os.Stat(filepath.Join(data, f.name))
		switch {
		case err == nil:
			out = append(out, mode(f.check, filepath.Join(data, f.name), info, 0o077))
		case !errors.Is(err, fs.ErrNotExist):
			out = append(out, wrong(metal.Fail, f.check, err.Error(), "Run the doctor as the user that runs the server."))
		case f.name == "ingot.key":
			if _, err := os.Stat(filepath.Join(data, "ingot.db")); err == nil {
				out = append(out, wrong(metal.Fail, f.check, "There is a database and no key "+filepath.Join(data, f.name)+".", "Bring the key back from its backup: nothing private can be read without it."))
			}
		}
	}
	return append(out, space(data))
}

func mode(check, path string, info fs.FileInfo, forbidden fs.FileMode) metal.Finding {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return wrong(metal.Warn, check, fmt.Sprintf("%s belongs to user %d, and this is user %d.", path, st.Uid, os.Geteuid()), "Run server and doctor as its owner, or chown it.")
	}
	if bad := info.Mode().Perm() & forbidden; bad != 0 {
		return wrong(metal.Fail, check, fmt.Sprintf("%s has mode %#o: others than its owner may read it.", path, info.Mode().Perm()), "chmod go= "+path)
	}
	return fine(check, "%s is its owner's alone.", path)
}

func space(dir string) metal.Finding {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return wrong(metal.Warn, "disk", fmt.Sprintf("The free space of %s cannot be read: %v.", dir, err), "")
	}
	free := st.Bavail * uint64(st.Bsize)
	said := fmt.Sprintf("%s has %.1f GiB free.", dir, float64(free)/(1<<30))
	switch {
	case free < diskFail:
		return wrong(metal.Fail, "disk", said, "Make room: a full disk stops the database.")
	case free < diskWarn:
		return wrong(metal.Warn, "disk", said, "Make room before it is full.")
	}
	return fine("disk", "%s", said)
}

// examineRamdisks looks at the ramdisk that every machine needs, and at the one that rescues need.
func examineRamdisks(data string, c config.Config) []metal.Finding {
	rescue := fine("rescue ramdisk", "There is none: machines cannot be rescued, nor installed by OS definitions. \"ingot ramdisk build --kind debian\" makes it.")
	if slices.Contains(c.Choices.EnabledDeploy, metal.DeployOS) {
		rescue = wrong(metal.Warn, "rescue ramdisk", "There is none, and the deploy interface os-install is enabled: no node can be installed with an OS definition, and no machine be rescued.",
			"ingot ramdisk build --kind debian, or take os-install out of [DEFAULT] enabled_deploy_interfaces.")
	}
	if c.Choices.DefaultRescue == "agent" {
		rescue = wrong(metal.Warn, "rescue ramdisk", "There is none, and default_rescue_interface is agent: every rescue is refused.", "ingot ramdisk build --kind debian")
	}
	dir := filepath.Join(data, "ramdisk-debian")
	if _, err := os.Stat(filepath.Join(dir, depot.ManifestName)); err == nil {
		rescue = examineRamdisk("rescue ramdisk", dir, depot.KindDebian, "Without it machines cannot be rescued, nor installed by OS definitions.")
	}
	return []metal.Finding{examineRamdisk("ramdisk", filepath.Join(data, "ramdisk"), depot.KindDeploy, "Without it machines of fake hardware only can be deployed."), rescue}
}

func examineRamdisk(name, dir, kind, without string) metal.Finding {
	build := "ingot ramdisk build"
	if kind != depot.KindDeploy {
		build += " --kind " + kind
	}
	m, err := depot.ReadManifest(dir)
	if err != nil {
		said, ok := fault.PublicOf(err)
		if !ok {
			said = err.Error()
		}
		return wrong(metal.Warn, name, said, without)
	}
	if is := cmp.Or(m.Kind, depot.KindDeploy); is != kind {
		return wrong(metal.Fail, name, fmt.Sprintf("The one in %s is of the kind %s.", dir, is), build)
	}
	info, err := os.Stat(filepath.Join(dir, depot.ISOName))
	if err != nil {
		return wrong(metal.Fail, name, "Its boot ISO is missing.", build)
	}
	if age := time.Since(info.ModTime()); age > ramdiskOld {
		return wrong(metal.Warn, name, fmt.Sprintf("It is %d days old; its kernel is %s.", int(age.Hours()/24), m.KernelRelease), build+", for the security updates since.")
	}
	signed := slices.ContainsFunc(m.Packages, func(p depot.Package) bool { return strings.HasPrefix(p.Name, "shim-signed") })
	if !signed {
		return wrong(metal.Warn, name, "Its boot loader is not the distribution's signed one: machines with Secure Boot may refuse it.",
			"See that your firmware trusts who signed it, or build it without --shim.")
	}
	return fine(name, "Kernel %s, with the distribution's signed boot loader.", m.KernelRelease)
}

// examineClock asks the kernel whether something keeps the clock. Source: adjtimex(2), STA_UNSYNC and TIME_ERROR.
func examineClock() metal.Finding {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil { // a sandbox may forbid even to ask
		return fine("clock", "Whether something keeps this host's clock cannot be seen from here.")
	}
	if state == unix.TIME_ERROR {
		return wrong(metal.Warn, "clock", "Nothing keeps this host's clock.", "Run an NTP client: tokens, certificates and boot addresses go by the clock, and agents are given it.")
	}
	return fine("clock", "This host's clock is synchronised.")
}

func examinePorts(c config.Config) []metal.Finding {
	out := []metal.Finding{}
	for _, at := range []string{net.JoinHostPort(c.API.HostIP, strconv.Itoa(c.API.Port)), "127.0.0.1:6386", "127.0.0.1:6387"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			out = append(out, wrong(metal.Warn, "port "+at, fmt.Sprintf("A server could not listen there: %v.", err), "ss -ltnp shows who has it; --listen, --agent-listen and --boot-listen choose others."))
			continue
		}
		_ = l.Close() // it was only to see
		out = append(out, fine("port "+at, "It is free."))
	}
	return out
}

// examine is what only the running server can tell of itself.
func (s *server) examine(ctx context.Context) []metal.Finding {
	out := append(examineData(s.f.data), examineClock(), s.rules.examine())
	out = append(out, s.examineInstances(ctx)...)
	if s.worker != nil {
		out = append(append(out, examineRamdisks(s.f.data, s.c)...), s.examineBootURL(ctx))
		out = append(out, s.examineBootHosts(ctx)...)
	}
	if s.netboot != nil {
		out = append(out, s.bootFiles)
	}
	if s.roles.has(roleAgentAPI) {
		out = append(out, examineCertificate(s.agents))
	}
	if s.peer != nil {
		out = append(out, examinePeer(s.peer.Identity(), time.Now()))
	}
	return out
}

func (s *server) examineBootURL(ctx context.Context) metal.Finding {
	nodes, err := s.service.Nodes(ctx, ops.Caller{Who: s.name, Rights: policy.For(policy.Caller{Trusted: true})}, ops.NodeQuery{Driver: "redfish", Page: ops.Page{Limit: 200}})
	if err != nil {
		return wrong(metal.Warn, "boot URL", "The nodes cannot be listed.", "See the server's log.")
	}
	for _, n := range nodes {
		if err := beyondLoopback(ctx, s.doors.bootURL, n.DriverInfo.Public("redfish_address")); err != nil {
			said, _ := fault.PublicOf(err)
			return wrong(metal.Fail, "boot URL", said, "Start the server with --boot-listen and --agent-listen at an address that BMCs reach.")
		}
	}
	if err := s.files.CheckReachable(ctx, s.doors.bootURL); err != nil {
		said, ok := fault.PublicOf(err)
		if !ok {
			said = "The boot URL does not answer."
		}
		return wrong(metal.Fail, "boot URL", said, "See --boot-url and --boot-listen, and a firewall between.")
	}
	return fine("boot URL", "%s answers, from here.", s.doors.bootURL)
}

// examinePeer looks at the certificate towards other servers of ours, which renews itself at half of its life:
// with less than a quarter left, that has not worked for a while.
func examinePeer(id peer.Identity, now time.Time) metal.Finding {
	left, life := id.Until.Sub(now), id.Until.Sub(id.Issued)
	until := id.Until.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		return wrong(metal.Fail, "peer certificate", "It ended at "+until+": other servers refuse this one.", "Let it join again: ingot peer invite on the issuer, --join-token-file here.")
	case left < life/4:
		return wrong(metal.Warn, "peer certificate", "It ends at "+until+" and was not renewed.", "See the log for why, and that the server that issues certificates answers.")
	}
	return fine("peer certificate", "It is good until %s, and renews itself.", until)
}

func examineCertificate(c tls.Certificate) metal.Finding {
	leaf := c.Leaf
	if leaf == nil && len(c.Certificate) > 0 {
		leaf, _ = x509.ParseCertificate(c.Certificate[0])
	}
	if leaf == nil {
		return wrong(metal.Fail, "agents' certificate", "It cannot be read.", "Remove agent-door.crt and agent-door.key from the data folder and start again.")
	}
	left := time.Until(leaf.NotAfter)
	if left < certificateDue {
		return wrong(metal.Warn, "agents' certificate", fmt.Sprintf("It ends on %s.", leaf.NotAfter.Format(time.DateOnly)), "Start the server again: it makes a new one in time.")
	}
	return fine("agents' certificate", "It is good until %s.", leaf.NotAfter.Format(time.DateOnly))
}
