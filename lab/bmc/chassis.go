package bmc

import "net/http"

func (b *BMC) getManager(*http.Request) (doc, error) {
	b.mu.Lock()
	version := b.firm.parts["bmc"]
	b.mu.Unlock()
	d := doc{"@odata.id": ManagerPath, "@odata.type": "#Manager.v1_14_0.Manager", "Id": "bmc", "Name": "Ingot lab BMC",
		"ManagerType": "BMC", "FirmwareVersion": version, "PowerState": "On", "Status": health("On"),
		"VirtualMedia": link(ManagerPath + "/VirtualMedia"),
		"Links":        doc{"ManagerForServers": []doc{link(SystemPath)}, "ManagerForChassis": []doc{link(ChassisPath)}}}
	b.told(d, "HostInterfaces", link(hostIfPath))
	b.told(d, "NetworkProtocol", link(protocolPath))
	return d, nil
}

func (b *BMC) getChassis(*http.Request) (doc, error) {
	inv, power := b.cfg.Machine.Inventory(), b.powerState()
	return doc{"@odata.id": ChassisPath, "@odata.type": "#Chassis.v1_19_0.Chassis", "Id": "chassis", "Name": b.cfg.Name + " chassis",
		"ChassisType": "RackMount", "Manufacturer": inv.Manufacturer, "Model": inv.Model, "SerialNumber": inv.Serial,
		"PowerState": power, "Status": health("On"), "Thermal": link(ChassisPath + "/Thermal"), "Power": link(ChassisPath + "/Power"),
		"Links": doc{"ComputerSystems": []doc{link(SystemPath)}, "ManagedBy": []doc{link(ManagerPath)}}}, nil
}

// getThermal gives readings that depend on the power only, so that tests can expect them.
func (b *BMC) getThermal(*http.Request) (doc, error) {
	inlet, cpu, rpm := 22, 24, 0
	power := b.powerState()
	if power == "On" {
		inlet, cpu, rpm = 23, 48, 5400
	}
	path := ChassisPath + "/Thermal"
	temperature := func(id, name, context string, c, critical int) doc {
		return doc{"@odata.id": path + "#/Temperatures/" + id, "MemberId": id, "Name": name, "PhysicalContext": context,
			"ReadingCelsius": c, "UpperThresholdCritical": critical, "Status": health("On")}
	}
	return doc{"@odata.id": path, "@odata.type": "#Thermal.v1_7_1.Thermal", "Id": "Thermal", "Name": "Thermal",
		"Temperatures": []doc{temperature("0", "Inlet", "Intake", inlet, 45), temperature("1", "CPU", "CPU", cpu, 95)},
		"Fans": []doc{{"@odata.id": path + "#/Fans/0", "MemberId": "0", "Name": "Fan 1", "Reading": rpm, "ReadingUnits": "RPM",
			"Status": health(power)}}}, nil
}

func (b *BMC) getPowerSensors(*http.Request) (doc, error) {
	watts := 5
	if b.powerState() == "On" {
		watts = 120
	}
	path := ChassisPath + "/Power"
	return doc{"@odata.id": path, "@odata.type": "#Power.v1_7_1.Power", "Id": "Power", "Name": "Power",
		"PowerControl": []doc{{"@odata.id": path + "#/PowerControl/0", "MemberId": "0", "Name": "System Power",
			"PowerConsumedWatts": watts, "PowerCapacityWatts": 500}},
		"Voltages": []doc{{"@odata.id": path + "#/Voltages/0", "MemberId": "0", "Name": "12V", "ReadingVolts": 12.0, "Status": health("On")}},
		"PowerSupplies": []doc{{"@odata.id": path + "#/PowerSupplies/0", "MemberId": "0", "Name": "PSU 1",
			"PowerCapacityWatts": 500, "Status": health("On")}}}, nil
}
