package conductor

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// NetDepot knows what machines boot from the network.
type NetDepot interface {
	// Ramdisk is the kernel and the initramfs of now, of a role's ramdisk.
	Ramdisk(role agentapi.Role) (kernel, initramfs metal.BootFile, err error)
	// Of is what a firmware boots first. The error says why there is nothing for it.
	Of(iface, arch, firmware string) (loader string, err error)
}

// BootFromNetwork has machines boot from the network. It is called before Run.
func (c *Conductor) BootFromNetwork(d NetDepot) { c.netDepot = d }

// netInterfaces are the boot interfaces that boot from the network.
var netInterfaces = []string{metal.BootPXE, metal.BootIPXE, metal.BootHTTP, metal.BootHTTPIPXE}

// unsigned are those whose loader Debian does not sign.
func unsignedLoader(iface string) bool {
	return iface == metal.BootIPXE || iface == metal.BootHTTPIPXE
}

// ramdiskArch is the architecture of the machines that the ramdisk is for.
const ramdiskArch = "x86_64"

// checkNetBoot refuses what cannot boot before the machine is touched.
func (r *runner) checkNetBoot(ctx context.Context, op *Op) error {
	if r.hw.Boot == nil {
		return unsupported(op.Node, "management")
	}
	if err := r.checkNetNode(op); err != nil {
		return err
	}
	if r.c.netDepot == nil {
		return fault.New(fault.NotSupported, "this server boots no machines from the network")
	}
	firmware, err := r.netFirmware(ctx, op)
	if err != nil {
		return err
	}
	if _, err := r.c.netDepot.Of(r.hw.NetBoot, archOf(op.Node), firmware); err != nil {
		return untried(err)
	}
	if _, _, err := r.c.netDepot.Ramdisk(op.role()); err != nil {
		return untried(err)
	}
	if op.role() == agentapi.RoleRescue { // Secure Boot is switched off for it, if it is in the way
		return nil
	}
	return r.checkSigned(ctx, op, firmware)
}

// checkSigned refuses a loader that nobody signed where Secure Boot is on.
func (r *runner) checkSigned(ctx context.Context, op *Op, firmware string) error {
	if !unsignedLoader(r.hw.NetBoot) || r.c.config.SignedIPXE || firmware != metal.UEFI || r.hw.Secure == nil {
		return nil
	}
	s, err := r.hw.Secure.SecureBoot(ctx, op.Node)
	if err != nil && fault.KindOf(err) != fault.NotSupported {
		return err
	}
	if err == nil && s.On && !s.Setup {
		return fault.New(fault.Invalid, "Secure Boot is on, and the iPXE of the boot interface %s is not signed: the machine would refuse it. "+
			"Use the boot interface pxe or http, switch Secure Boot off, or sign iPXE with a key that the machine trusts and say so with [pxe] ipxe_loader_is_signed.", r.hw.NetBoot)
	}
	return nil
}

// untried makes an error that no second try helps against: a person must do something.
func untried(err error) error {
	if said, ok := fault.PublicOf(err); ok {
		return fault.Wrap(fault.Invalid, err, "%s", said)
	}
	return err
}

// checkNetNode says what a node lacks for a boot from the network, without asking anybody.
func (r *runner) checkNetNode(op *Op) error {
	n := op.Node
	if len(netMACs(op.Ports)) == 0 {
		return noNetPort(n)
	}
	if n.DriverInfo.Public("pxe_template") != "" {
		return errTemplate
	}
	if op.role() != agentapi.RoleRescue && (n.DriverInfo.Public("deploy_kernel") != "" || n.DriverInfo.Public("deploy_ramdisk") != "") {
		return fault.New(fault.NotSupported, "driver_info deploy_kernel and deploy_ramdisk are not built yet for boot interface %s: remove them, and the machine boots the server's own ramdisk", r.hw.NetBoot)
	}
	if arch := archOf(n); arch != ramdiskArch {
		return fault.New(fault.NotSupported, "node %s is of %s (cpu_arch in its properties), and the ramdisk is for %s only", n.UUID, arch, ramdiskArch)
	}
	_, params, err := r.c.tryConfig(n)
	if err == nil {
		_, err = depot.NetworkKernelLine(params)
	}
	return err
}

func noNetPort(n *metal.Node) error {
	return fault.New(fault.Invalid, "node %s has no port that may boot from the network: create one with the MAC address of the NIC that does, with pxe_enabled", n.UUID)
}

var errTemplate = fault.New(fault.Invalid, "driver_info pxe_template is not offered: a template of a node's own could say anything to its machine's firmware. "+
	"Use [pxe] ipxe_config_template or uefi_pxe_config_template")

func archOf(n *metal.Node) string {
	arch, _ := n.Properties["cpu_arch"].(string)
	switch arch = strings.ToLower(strings.TrimSpace(arch)); arch {
	case "", "amd64":
		return ramdiskArch
	case "arm64":
		return "aarch64"
	}
	return arch
}

// systemUUID is what is known of the machine's firmware; "" is not known, and then nobody compares it.
func systemUUID(n *metal.Node) string {
	text, _ := n.Properties[metal.SystemUUIDProperty].(string)
	return metal.SystemUUID(text)
}

// netMACs are the NICs that may boot from the network.
func netMACs(ports []*metal.Port) []string {
	var out []string
	for _, p := range ports {
		if p.PXEEnabled {
			out = append(out, strings.ToLower(p.Address))
		}
	}
	return out
}

// netFirmware is how the machine is going to boot: as its instance wants it, else as its BMC says, else as is known.
func (r *runner) netFirmware(ctx context.Context, op *Op) (string, error) {
	if op.Rec.Wish.Mode != "" {
		return op.Rec.Wish.Mode, nil
	}
	if r.hw.Mode != nil {
		mode, err := r.hw.Mode.BootMode(ctx, op.Node)
		if err != nil && fault.KindOf(err) != fault.NotSupported {
			return "", err
		}
		if err == nil && mode != "" {
			return mode, nil
		}
	}
	own, err := metal.Capabilities(op.Node.Properties["capabilities"])
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "properties: %v", err)
	}
	return cmp.Or(own["boot_mode"], op.Node.BootMode, metal.UEFI), nil
}

// prepareNetBoot makes the identity of a boot from the network, and says who may boot what.
func (r *runner) prepareNetBoot(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.checkNetBoot(ctx, op); err != nil {
		return Outcome{}, err
	}
	b := &metal.NetworkBoot{NodeUUID: op.Node.UUID, NodeName: op.Node.Name, Generation: uuid.NewString(), Interface: r.hw.NetBoot, MACs: netMACs(op.Ports),
		SystemUUID: systemUUID(op.Node), Arch: archOf(op.Node), Expires: r.bootUntil(op), Role: string(op.role()), Key: store.NewToken()}
	agent, err := r.c.newAgent(op.Node, b.Generation, op.Rec.PollOnly, false)
	if err != nil {
		return Outcome{}, err
	}
	agent.Role = op.role()
	if b.Firmware, err = r.netFirmware(ctx, op); err != nil {
		return Outcome{}, err
	}
	config, params, err := r.c.bootConfig(op.Node, agent)
	if err != nil {
		return Outcome{}, err
	}
	if b.KernelParams, err = depot.NetworkKernelLine(params); err != nil {
		return Outcome{}, err
	}
	if b.Config, err = depot.NetworkConfig(config); err != nil {
		return Outcome{}, err
	}
	if b.Kernel, b.Initramfs, err = r.c.netDepot.Ramdisk(op.role()); err != nil {
		return Outcome{}, err
	}
	if _, err := r.offerAgain(ctx, op); err != nil {
		return Outcome{}, err
	}
	op.bootAs(b.Generation, "", "") // any server with the role netboot answers it
	op.Rec.Pushing, op.Rec.Pushed = r.c.pusher != nil, r.c.pusher != nil
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if err := tx.SaveAgent(agent); err != nil {
			return err
		}
		return tx.SaveNetworkBoot(n.ID, b)
	})
	if op.Rec.Pushing { // the identity is kept first: what is pushed twice is then the same boot
		return again(0, "the boot to be pushed to a boot host"), nil
	}
	return done, nil
}

// netDevice is what a machine boots from that boots from the network.
func (r *runner) netDevice(ctx context.Context, op *Op) (string, error) {
	if r.hw.NetBoot != metal.BootHTTP && r.hw.NetBoot != metal.BootHTTPIPXE {
		return "pxe", nil
	}
	devices, err := r.hw.Boot.BootDevices(ctx, op.Node)
	if err == nil && !slices.Contains(devices, "uefihttp") {
		return "pxe", nil // such firmware tries HTTP among its network boots. Source: images reference §11.
	}
	return "uefihttp", err
}

// whyNoNetBoot says how far a machine came that was to boot from the network.
func (r *runner) whyNoNetBoot(ctx context.Context, op *Op) string {
	seen, err := r.netSeen(ctx, op)
	if err != nil {
		return sentence(err)
	}
	secure := false
	if r.hw.Secure != nil {
		if s, err := r.hw.Secure.SecureBoot(ctx, op.Node); err == nil {
			secure = s.On
		}
	}
	return netStory(seen, secure) + ": " + netAdvice(seen, secure, r.c.config.AgentURL)
}

func netStory(seen string, secure bool) string {
	switch seen {
	case "":
		return "the machine never asked for its boot"
	case metal.SeenOffer:
		return "the machine was offered its boot loader and did not fetch it"
	case depot.NetScript, depot.NetGrub:
		return "the machine fetched its boot script and then nothing"
	case depot.NetConfig:
		return "the machine fetched all that it boots"
	case depot.NetKernel, depot.NetInitramfs:
		return "the machine fetched the " + seen + " and then nothing"
	}
	return "the machine fetched the boot loader " + seen + " and then nothing"
}

func netAdvice(seen string, secure bool, door string) string {
	const network = "see that the ports' MAC addresses are those of its NICs, that its firmware boots from the network, and that a server with the role netboot hears its network"
	switch {
	case seen == "" || seen == metal.SeenOffer:
		return network
	case seen == depot.NetConfig:
		return "look at its console, and whether it reaches " + door
	case secure && seen == depot.NetKernel:
		return "with Secure Boot on, a kernel that is not signed by a key which the machine trusts is refused"
	case secure && seen != depot.NetInitramfs && seen != depot.NetScript && seen != depot.NetGrub:
		return "with Secure Boot on, its firmware refuses a loader that is not signed by a key it trusts"
	}
	return "look at its console"
}
