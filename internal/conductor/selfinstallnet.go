package conductor

import (
	"context"

	"github.com/google/uuid"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// An installer that is booted from the network is, for the boot services, one more boot of the node: a row, found by MAC or by key, with
// the files that the server brought instead of a ramdisk's. It holds no token, and it is gone when the installer was heard.

// installerNames are what machines ask for, by the fields of instance_info that name it.
var installerNames = map[string]string{metal.InstallerISO: depot.NetISO, metal.InstallerKernel: depot.NetKernel, metal.InstallerRamdisk: depot.NetInitramfs}

// checkNetInstaller says what a node lacks for booting an installer from the network, without asking anybody.
func (r *runner) checkNetInstaller(op *Op) error {
	n := op.Node
	switch {
	case r.hw.Boot == nil:
		return unsupported(n, "management")
	case r.c.netDepot == nil:
		return fault.New(fault.NotSupported, "this server boots no machines from the network")
	case r.c.images.Hosts():
		return fault.New(fault.NotSupported, "machines of this server boot from boot hosts, which offer installers by virtual media only: set the boot interface of node %s to redfish-virtual-media", n.UUID)
	case len(netMACs(op.Ports)) == 0:
		return noNetPort(n)
	case n.DriverInfo.Public("pxe_template") != "":
		return errTemplate
	}
	_, err := r.installerLine(n)
	return err
}

// installerLine is the command line of an installer's kernel, by the rules for those of ramdisks: what the operator has for all nodes
// and for this one, and the instance's. There is no address or token of ours on it.
func (r *runner) installerLine(n *metal.Node) (string, error) {
	params, err := depot.AppendParams(r.c.config.NetKernelParams, n.DriverInfo.Public("kernel_append_params"), n.InstanceInfo.Public("kernel_append_params"))
	if err != nil {
		return "", err
	}
	return depot.KernelLine(nil, params)
}

// installerFirmware is how the machine is going to boot its installer; the error says what keeps its firmware from that.
func (r *runner) installerFirmware(ctx context.Context, op *Op) (string, error) {
	if err := r.checkNetInstaller(op); err != nil {
		return "", err
	}
	firmware, err := r.netFirmware(ctx, op)
	switch {
	case err != nil:
		return "", err
	case r.hw.NetBoot != metal.BootHTTP:
		if _, err := r.c.netDepot.Of(r.hw.NetBoot, archOf(op.Node), firmware); err != nil {
			return "", untried(err)
		}
	case firmware != metal.UEFI:
		return "", fault.New(fault.Invalid, "the boot interface http needs UEFI, and node %s boots in %s mode: set its capability boot_mode, or use the boot interface ipxe", op.Node.UUID, firmware)
	}
	return firmware, r.checkSigned(ctx, op, firmware)
}

// offerInstaller has the machine find its installer: in its drive, or on the network.
func (r *runner) offerInstaller(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.NetBoot == "" {
		return r.insertMedia(ctx, op)
	}
	firmware, err := r.installerFirmware(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if _, o, err := r.holdMedium(ctx, op); err != nil || o != done { // the server that brought it may be gone
		return o, err
	}
	b := &metal.NetworkBoot{NodeUUID: op.Node.UUID, NodeName: op.Node.Name, Generation: uuid.NewString(), Interface: r.hw.NetBoot, MACs: netMACs(op.Ports), SystemUUID: systemUUID(op.Node),
		Firmware: firmware, Arch: archOf(op.Node), Expires: r.mediumUntil(), Installer: true, Key: store.NewToken()}
	if b.KernelParams, err = r.installerLine(op.Node); err != nil {
		return Outcome{}, err
	}
	for _, i := range op.Rec.Installer {
		f, err := r.c.images.BootFile(i)
		if err != nil {
			return Outcome{}, err
		}
		switch i.As {
		case depot.NetISO:
			b.ISO = f
		case depot.NetKernel:
			b.Kernel = f
		case depot.NetInitramfs:
			b.Initramfs = f
		}
	}
	op.Rec.Boot = b.Generation
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if err := tx.ForgetAgent(n.ID); err != nil { // an earlier boot's token is worth nothing from here on
			return err
		}
		return tx.SaveNetworkBoot(n.ID, b)
	})
	return done, nil
}

// installerRuns: the installer was heard. What it booted from the network it has read whole by then, and nothing is left to boot.
func (r *runner) installerRuns(ctx context.Context, op *Op) {
	if r.hw.NetBoot == "" {
		return
	}
	r.dropImage(ctx, op)
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetNetworkBoot(n.ID) })
}

// whyNoNetInstaller says how far a machine came that was to boot its installer from the network.
func (r *runner) whyNoNetInstaller(ctx context.Context, op *Op, silent string) string {
	switch seen, err := r.netSeen(ctx, op); {
	case err != nil:
		return sentence(err)
	case seen == depot.NetISO || seen == depot.NetInitramfs:
		return "the machine fetched its installer; it may not have started it, or " + silent + r.secureRefusal(ctx, op)
	case seen == "" || seen == metal.SeenOffer:
		return r.whyNoNetBoot(ctx, op) + ", which is its user's"
	}
	return r.whyNoNetBoot(ctx, op)
}
