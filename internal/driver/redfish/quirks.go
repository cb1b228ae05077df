package redfish

import "strings"

// quirk is what one make of machine does differently. Oddities that show in an answer (no InsertMedia
// action, an ETag that never matches, a parameter that is missing) are handled where they show, for every make.
type quirk struct {
	maker string // the system's Manufacturer, lower case, a part of it
	model string // the system's Model, lower case, a part of it; "" for all

	cdTarget string // what to boot virtual media from, instead of "Cd"
	keepDisk bool   // with UEFI, a persistent disk means the firmware's own order: override nothing
	source   string
}

// quirks is read from the top; the first row that fits is the machine's.
var quirks = []quirk{
	{maker: "supermicro", model: "ars-111gl-nhr", cdTarget: "Cd",
		source: "openstack/sushy sushy/resources/system/system.py: this model boots virtual media from Cd though it lists UsbCd"},
	{maker: "supermicro", cdTarget: "UsbCd",
		source: "openstack/sushy sushy/resources/system/system.py: X11 and X12 show virtual media as a USB CD; with Cd the boot fails"},
	{maker: "lenovo", keepDisk: true,
		source: "OpenStack Ironic, agent deploy's prepare_instance_boot: the boot device is not set on Lenovo in UEFI mode"},
}

// quirkOf gives what is odd about a machine; the zero quirk for most.
func quirkOf(maker, model string) quirk {
	maker, model = strings.ToLower(maker), strings.ToLower(model)
	for _, q := range quirks {
		if strings.Contains(maker, q.maker) && strings.Contains(model, q.model) {
			return q
		}
	}
	return quirk{}
}
