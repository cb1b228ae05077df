package redfish

import (
	"context"
	"fmt"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Security tells what a BMC says of how well its machine's firmware is kept from the machine's user. What it does not say is
// unknown; a part that cannot be read is no error, a BMC that does not answer is.
func (d *Driver) Security(ctx context.Context, n *metal.Node) (metal.SecurityReport, error) {
	var r metal.SecurityReport
	err := d.call(ctx, n, "tell how its machine is secured", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		for _, look := range []func(*schemas.ComputerSystem) (metal.SecurityFinding, error){c.signedFirmware, c.tpm, c.enforces, c.inBand, c.lockable, c.overLAN} {
			f, err := look(s)
			if err != nil {
				return err
			}
			r.Findings = append(r.Findings, f)
		}
		keys, err := c.shownKeys(s)
		if err != nil && !partial(err) && fault.KindOf(err) != fault.NotSupported {
			return err
		}
		r.Keys = keys
		return nil
	})
	return r, err
}

// Warnings are sentences about what is unwise in how the BMC can be reached. It says nothing where it cannot find out.
func (d *Driver) Warnings(ctx context.Context, n *metal.Node) []string {
	var out []string
	// The error is left to those who use the BMC: they say what is wrong with it.
	_ = d.call(ctx, n, "tell of its network protocols", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		switch says, err := c.ipmiEnabled(s); {
		case err != nil && !partial(err):
			return err
		case says == metal.No: // it is believed: to wait for an answer that does not come would hold up whoever validates
			return nil
		}
		f, err := c.overLAN(s)
		if err == nil && f.Answer == metal.Yes {
			out = append(out, f.Detail+" "+f.Advice)
		}
		return err
	})
	return out
}

// answered makes a finding of an answer; good is the answer that needs nothing done.
func answered(name string, a, good metal.Answer, detail, advice string) metal.SecurityFinding {
	return metal.SecurityFinding{Name: name, Answer: a, Good: a == good, Detail: detail, Advice: advice}
}

// signedFirmware asks for the parts that prove their firmware to the BMC. Redfish has no other word for it.
// Source: DMTF ComponentIntegrity v1.0.0, SPDM.IdentityAuthentication.ResponderAuthentication.VerificationStatus.
func (c *call) signedFirmware(*schemas.ComputerSystem) (metal.SecurityFinding, error) {
	proved, failed, err := c.integrity()
	if err != nil && !partial(err) {
		return metal.SecurityFinding{}, err
	}
	switch {
	case len(failed) > 0:
		return answered(metal.AskSignedFirmware, metal.No, metal.Yes, "These parts have not proved their firmware to the BMC: "+strings.Join(failed, ", ")+".",
			"Take the machine out of use, and put the maker's signed firmware on these parts from a host that you trust."), nil
	case proved > 0:
		return answered(metal.AskSignedFirmware, metal.Yes, metal.Yes, fmt.Sprintf("%d parts have proved their firmware to the BMC.", proved), ""), nil
	}
	return answered(metal.AskSignedFirmware, metal.Unknown, metal.Yes, "The BMC shows no part that proves its firmware.",
		"Ask the maker whether BIOS, BMC and peripherals take signed firmware only, and install such firmware before the first user gets the machine."), nil
}

func (c *call) integrity() (proved int, failed []string, err error) {
	var root struct{ ComponentIntegrity link }
	if err := c.read("/redfish/v1", &root); err != nil || root.ComponentIntegrity.URI == "" {
		return 0, nil, err
	}
	members, err := c.members(root.ComponentIntegrity.URI, maxMembers)
	if err != nil {
		return 0, nil, err
	}
	for _, m := range members {
		var v struct {
			ID                        string `json:"Id"`
			ComponentIntegrityEnabled *bool
			SPDM                      struct {
				IdentityAuthentication struct {
					ResponderAuthentication struct{ VerificationStatus string }
				}
			}
		}
		if err := c.read(m, &v); err != nil {
			return 0, nil, err
		}
		if v.ComponentIntegrityEnabled != nil && !*v.ComponentIntegrityEnabled {
			continue
		}
		switch v.SPDM.IdentityAuthentication.ResponderAuthentication.VerificationStatus {
		case "Success":
			proved++
		case "Failed":
			failed = append(failed, bounded(firstOf(v.ID, "unnamed"), 60))
		}
	}
	return proved, failed, nil
}

// tpm reads TrustedModules. Source: DMTF ComputerSystem v1.16.0.
func (c *call) tpm(s *schemas.ComputerSystem) (metal.SecurityFinding, error) {
	var v struct {
		TrustedModules []struct {
			InterfaceType string
			Status        struct{ State string }
		}
	}
	if err := c.read(s.ODataID, &v); err != nil && !partial(err) {
		return metal.SecurityFinding{}, err
	}
	for _, m := range v.TrustedModules {
		if m.Status.State == "" || m.Status.State == "Enabled" {
			return answered(metal.AskTPM, metal.Yes, metal.Yes, "The machine has a TPM that is enabled ("+bounded(firstOf(m.InterfaceType, "of unknown kind"), 40)+").", ""), nil
		}
	}
	const advice = "Fit a TPM, or enable it in the firmware's setup: with it, what was started can be measured and proved."
	if v.TrustedModules != nil {
		return answered(metal.AskTPM, metal.No, metal.Yes, "The BMC shows no TPM that is enabled.", advice), nil
	}
	return answered(metal.AskTPM, metal.Unknown, metal.Yes, "The BMC does not tell of TPMs.", advice), nil
}

// enforces tells whether Secure Boot is on and was in force.
func (c *call) enforces(s *schemas.ComputerSystem) (metal.SecurityFinding, error) {
	const advice = "Ask for it: secure_boot:true in an instance's capabilities, or ingot node secure-boot on. It needs boot mode uefi, and keys."
	v, err := c.secureBootOf(s)
	if err != nil && !partial(err) && fault.KindOf(err) != fault.NotSupported {
		return metal.SecurityFinding{}, err
	}
	if err != nil {
		return answered(metal.AskSecureBoot, metal.Unknown, metal.Yes, "The BMC does not tell of Secure Boot.", advice), nil
	}
	is, a, detail := v.state(), metal.No, "Secure Boot is off."
	switch {
	case is.Setup:
		detail = "The firmware has no Secure Boot keys: it is in setup mode, and enforces nothing."
	case is.On && is.Booted != nil && !*is.Booted:
		detail = "Secure Boot is switched on, and the last boot was without: a boot applies it."
	case is.On:
		a, detail = metal.Yes, "Secure Boot is on."
	}
	f := answered(metal.AskSecureBoot, a, metal.Yes, detail, advice)
	if f.Good {
		f.Advice = ""
	}
	return f, nil
}

// inBand tells whether the machine's own system has a way to the BMC.
func (c *call) inBand(s *schemas.ComputerSystem) (metal.SecurityFinding, error) {
	list, shown, err := c.hostInterfaces(s)
	if err != nil && !partial(err) {
		return metal.SecurityFinding{}, err
	}
	open := openInterfaces(list)
	switch {
	case len(open) > 0:
		return answered(metal.AskHostInterface, metal.Yes, metal.No, "The machine's system can reach the BMC by its host interface ("+strings.Join(open, ", ")+").",
			"Close it with the step management.disable_host_interface, and look in the BMC's own settings for KCS, of which Redfish does not tell."), nil
	case shown && err == nil:
		return answered(metal.AskHostInterface, metal.No, metal.No, "No host interface of the BMC is open.",
			"Redfish does not tell of KCS: look for it in the BMC's own settings."), nil
	}
	return answered(metal.AskHostInterface, metal.Unknown, metal.No, "The BMC does not tell of host interfaces.",
		"Look in the BMC's own settings for access from the host (host interface, KCS), and turn it off."), nil
}

// lockable tells whether a setup password can keep others from changing boot settings. Source: DMTF Bios v1.1.0, ChangePassword.
func (c *call) lockable(s *schemas.ComputerSystem) (metal.SecurityFinding, error) {
	l, err := linksOf(s)
	if err != nil {
		return metal.SecurityFinding{}, err
	}
	const advice = "Set a setup password, and where the firmware has a switch for it, forbid that the operating system changes boot settings."
	var v struct {
		Actions struct {
			ChangePassword struct {
				Target string `json:"target"`
			} `json:"#Bios.ChangePassword"`
		}
	}
	if l.Bios.URI == "" {
		return answered(metal.AskBootLock, metal.Unknown, metal.Yes, "The BMC does not show the firmware's settings.", advice), nil
	}
	switch err := c.read(l.Bios.URI, &v); {
	case err != nil && !partial(err):
		return metal.SecurityFinding{}, err
	case err != nil:
		return answered(metal.AskBootLock, metal.Unknown, metal.Yes, "The BMC does not show the firmware's settings.", advice), nil
	case v.Actions.ChangePassword.Target != "":
		return answered(metal.AskBootLock, metal.Yes, metal.Yes, "The firmware takes a setup password through the BMC; whether one is set, Redfish does not tell.", advice), nil
	}
	return answered(metal.AskBootLock, metal.No, metal.Yes, "The firmware takes no setup password through the BMC.", advice), nil
}

// overLAN tells whether the BMC speaks IPMI over the network, by its own words or by an answer to a ping.
// Source: DMTF ManagerNetworkProtocol v1.9.0, IPMI.ProtocolEnabled.
func (c *call) overLAN(s *schemas.ComputerSystem) (metal.SecurityFinding, error) {
	const advice = "Disable IPMI over LAN on it: it is driven by Redfish, and IPMI gives whoever asks the hash of a user's password."
	says, err := c.ipmiEnabled(s)
	if err != nil && !partial(err) {
		return metal.SecurityFinding{}, err
	}
	if says == metal.Yes {
		return answered(metal.AskIPMI, metal.Yes, metal.No, "The BMC at "+c.bmc.host+" says that IPMI over LAN is enabled.", advice), nil
	}
	heard := c.answersIPMI()
	switch {
	case heard == metal.Yes:
		return answered(metal.AskIPMI, metal.Yes, metal.No, "The BMC at "+c.bmc.host+" answers IPMI over LAN.", advice), nil
	case says == metal.No:
		return answered(metal.AskIPMI, metal.No, metal.No, "The BMC says that IPMI over LAN is disabled.", ""), nil
	case heard == metal.No:
		return answered(metal.AskIPMI, metal.No, metal.No, "The BMC does not say, and nothing answers at its IPMI port from here.", ""), nil
	}
	return answered(metal.AskIPMI, metal.Unknown, metal.No, "The BMC does not say whether it speaks IPMI over LAN.", advice), nil
}

func (c *call) ipmiEnabled(s *schemas.ComputerSystem) (metal.Answer, error) {
	managers, err := c.managersOf(s)
	if err != nil {
		return metal.Unknown, err
	}
	said := metal.Unknown
	for _, m := range managers {
		var view struct{ NetworkProtocol link }
		var protocols struct {
			IPMI struct{ ProtocolEnabled *bool }
		}
		if err := c.read(m, &view); err != nil {
			return metal.Unknown, err
		}
		if view.NetworkProtocol.URI == "" {
			continue
		}
		if err := c.read(view.NetworkProtocol.URI, &protocols); err != nil {
			return metal.Unknown, err
		}
		switch p := protocols.IPMI.ProtocolEnabled; {
		case p == nil:
		case *p:
			return metal.Yes, nil
		default:
			said = metal.No
		}
	}
	return said, nil
}
