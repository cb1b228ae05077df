package bmc

import "net/http"

const (
	hostIfPath    = ManagerPath + "/HostInterfaces"
	protocolPath  = ManagerPath + "/NetworkProtocol"
	passwordPath  = BIOSPath + "/Actions/Bios.ChangePassword"
	integrityPath = "/redfish/v1/ComponentIntegrity"
)

// told is what a BMC that tells nothing of security leaves out.
func (b *BMC) told(d doc, name string, value any) {
	if !b.faults.has(TellsNothing) {
		d[name] = value
	}
}

func (b *BMC) toldAt(r *http.Request) error {
	if b.faults.has(TellsNothing) {
		return notFound(r)
	}
	return nil
}

// The host interface is the way from the machine's own system to the BMC (DSP0270). It is open until it is closed.
func (b *BMC) getHostInterfaces(r *http.Request) (doc, error) {
	return collection(hostIfPath, "HostInterface", hostIfPath+"/usb0"), b.toldAt(r)
}

func (b *BMC) getHostInterface(r *http.Request) (doc, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return doc{"@odata.id": hostIfPath + "/usb0", "@odata.type": "#HostInterface.v1_3_0.HostInterface", "Id": "usb0", "Name": "Host interface",
		"HostInterfaceType": "NetworkHostInterface", "InterfaceEnabled": !b.hostIfClosed, "Status": health("On")}, b.toldAt(r)
}

func (b *BMC) patchHostInterface(r *http.Request) (reply, error) {
	var ask struct{ InterfaceEnabled *bool }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if ask.InterfaceEnabled == nil {
		return reply{}, problem{http.StatusBadRequest, "PropertyMissing", "The property InterfaceEnabled is required in a PATCH of this resource."}
	}
	if _, refuse := b.faults.strike(HostIfRefused); refuse {
		return reply{}, problem{http.StatusBadRequest, "PropertyNotWritable", "The property InterfaceEnabled is a read only property and cannot be assigned a value."}
	}
	b.counters.add("Set.InterfaceEnabled")
	if _, ignore := b.faults.strike(HostIfIgnored); ignore {
		return reply{status: http.StatusNoContent}, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hostIfClosed = !*ask.InterfaceEnabled
	return reply{status: http.StatusNoContent}, nil
}

func (b *BMC) getProtocols(r *http.Request) (doc, error) {
	d := doc{"@odata.id": protocolPath, "@odata.type": "#ManagerNetworkProtocol.v1_9_0.ManagerNetworkProtocol", "Id": "NetworkProtocol",
		"Name": "Network protocols", "HTTPS": doc{"ProtocolEnabled": true, "Port": 443}}
	if !b.faults.has(IPMIUntold) {
		d["IPMI"] = doc{"ProtocolEnabled": b.faults.has(IPMIOn), "Port": 623}
	}
	return d, b.toldAt(r)
}

// trustedModules are the TPMs that the system shows.
func (b *BMC) trustedModules() []doc {
	if b.faults.has(NoTPM) {
		return []doc{{"Status": doc{"State": "Absent"}}}
	}
	return []doc{{"InterfaceType": "TPM2_0", "FirmwareVersion": "7.2.0", "Status": health("On")}}
}

// Two parts can prove what firmware they run, by SPDM.
func (b *BMC) getIntegrities(r *http.Request) (doc, error) {
	return collection(integrityPath, "ComponentIntegrity", integrityPath+"/bios", integrityPath+"/nic"), b.toldAt(r)
}

func (b *BMC) getIntegrity(r *http.Request) (doc, error) {
	id := r.PathValue("part")
	if id != "bios" && id != "nic" {
		return nil, notFound(r)
	}
	status := "Success"
	if id == "nic" && b.faults.has(Unproved) {
		status = "Failed"
	}
	return doc{"@odata.id": integrityPath + "/" + id, "@odata.type": "#ComponentIntegrity.v1_0_0.ComponentIntegrity", "Id": id, "Name": id,
		"ComponentIntegrityType": "SPDM", "ComponentIntegrityTypeVersion": "1.1.0", "ComponentIntegrityEnabled": true, "TargetComponentURI": SystemPath,
		"SPDM": doc{"Requester": link(ManagerPath), "IdentityAuthentication": doc{"ResponderAuthentication": doc{"VerificationStatus": status}}}}, b.toldAt(r)
}

// changeSetupPassword sets the password of the firmware's setup (DSP2046, Bios, ChangePassword); "" takes it away.
func (b *BMC) changeSetupPassword(r *http.Request) (reply, error) {
	var ask struct{ PasswordName, OldPassword, NewPassword string }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.faults.has(NoSetupLock):
		return reply{}, notFound(r)
	case ask.PasswordName != "AdministratorPassword":
		return reply{}, notInList("PasswordName", ask.PasswordName)
	case ask.OldPassword != b.setupPassword:
		return reply{}, problem{http.StatusBadRequest, "ActionParameterValueError", "The OldPassword is not the password."}
	}
	b.setupPassword = ask.NewPassword
	return reply{status: http.StatusNoContent}, nil
}
