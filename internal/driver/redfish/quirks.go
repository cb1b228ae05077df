package redfish

import (
	"net/url"
	"strings"

	"github.com/stmcginnis/gofish/schemas"
)

// quirk is what one make of machine does differently. Oddities that show in an answer (no InsertMedia
// action, an ETag that never matches, a parameter that is missing) are handled where they show, for every
// make: by the tables below this one, or where the answer is read.
type quirk struct {
	maker string // the system's Manufacturer, lower case, a part of it
	model string // the system's Model, lower case, a part of it; "" for all

	cdTarget   string      // what to boot virtual media from, instead of "Cd"
	keepDisk   bool        // with UEFI, a persistent disk means the firmware's own order: override nothing
	wholeBoot  bool        // every change of Boot must carry target, enabled and mode
	lateShow   bool        // boot mode and Secure Boot are shown as they were until a boot has applied them
	emptyGhost bool        // a drive that is not connected is empty, whatever else it shows
	slots      string      // only slots of this prefix take an image from a URL
	bootMode   biosSetting // the machine's boot mode is this BIOS attribute; the override's mode is for one boot
	source     string
}

// biosSetting is a BIOS attribute with its two values. The zero one is none.
type biosSetting struct{ name, uefi, legacy string }

// quirks is read from the top; the first row that fits is the machine's.
var quirks = []quirk{
	{maker: "supermicro", model: "ars-111gl-nhr", cdTarget: "Cd", emptyGhost: true,
		source: "openstack/sushy sushy/resources/system/system.py: this model boots virtual media from Cd though it lists UsbCd"},
	{maker: "supermicro", cdTarget: "UsbCd", emptyGhost: true,
		source: "openstack/sushy sushy/resources/system/system.py: X11 and X12 show virtual media as a USB CD; with Cd the boot fails. " +
			"ansible-collections/community.general issue 6969, pull 7470: an ejected image stays shown, NotConnected"},
	{maker: "lenovo", keepDisk: true, slots: "EXT", bootMode: biosSetting{"BootModes_SystemBootMode", "UEFIMode", "LegacyMode"},
		source: "OpenStack Ironic, agent deploy's prepare_instance_boot: the boot device is not set on Lenovo in UEFI mode. " +
			"pubs.lenovo.com xcc-restapi, insert_eject_virtual_media_patch: only EXT{N} takes an image, Remote{N} and RDOC{N} do not. " +
			"lenovo/python-redfish-lenovo issue 22: BootSourceOverrideMode is for the next boot only, the system's mode is the attribute"},
	{maker: "dell", lateShow: true,
		source: "openstack/ironic drivers/modules/redfish/management.py, _wait_for_boot_mode and _wait_for_secure_boot: " +
			"Dell changes both by a BIOS job, which the next boot runs"},
	{maker: "american megatrends", wholeBoot: true, source: wholeBootSource},
	{maker: "ami", wholeBoot: true, source: wholeBootSource},
	{maker: "asrockrack", wholeBoot: true, source: wholeBootSource},
}

const wholeBootSource = "openstack/ironic drivers/modules/redfish/management.py, VENDORS_REQUIRING_FULL_BOOT_REQUEST"

// quirkOf gives what is odd about a machine; the zero quirk for most.
func quirkOf(maker, model string) quirk {
	maker, model = strings.ToLower(maker), strings.ToLower(model)
	for _, q := range quirks {
		if q.fits(maker) && strings.Contains(model, q.model) {
			return q
		}
	}
	return quirk{}
}

// fits tells whether a row is for a maker: a short name like AMI must be the whole of it, others may be a part.
func (q quirk) fits(maker string) bool {
	if len(q.maker) <= 3 {
		return strings.TrimSpace(maker) == q.maker
	}
	return strings.Contains(maker, q.maker)
}

// busyWords are messages by which BMCs say "not now" with a status that says "never". Whoever meets one tries
// again later.
var busyWords = []struct{ id, why, source string }{
	{"UnableToModifyDuringSystemPOST", "the machine is in POST", "HPE iLO 5 and 6; ironcore-dev/metal-operator issue 997"},
	{"InvalidOperationForSystemState", "the machine is in POST", "HPE iLO; openstack/sushy sushy/connector.py, check_retry_on_exception"},
	{"SYS518", "the BMC is not ready after its last task", "Dell iDRAC; openstack/sushy sushy/connector.py, check_retry_on_exception"},
}

// busyWhy is what a BMC that says "not now" waits for; "" for every other error.
func busyWhy(err error) string {
	if statusOf(err) == 0 {
		return ""
	}
	said := messageIDs(err)
	for _, w := range busyWords {
		for _, id := range said {
			if strings.HasSuffix(id, "."+w.id) || strings.Contains(id, w.id) {
				return w.why
			}
		}
	}
	return ""
}

// insertWords are parameters of InsertMedia that some BMCs demand: the refusal names the parameter, which is then
// added. Saying them always would make others refuse.
var insertWords = []struct {
	word   string
	absent func(*schemas.VirtualMediaInsertMediaParameters) bool
	add    func(*schemas.VirtualMediaInsertMediaParameters, *url.URL)
	source string
}{
	{"TransferProtocolType",
		func(p *schemas.VirtualMediaInsertMediaParameters) bool { return p.TransferProtocolType == nil },
		func(p *schemas.VirtualMediaInsertMediaParameters, u *url.URL) {
			t := schemas.TransferProtocolType(strings.ToUpper(u.Scheme))
			p.TransferProtocolType = &t
		}, "openstack/sushy sushy/resources/manager/virtual_media.py, is_transfer_protocol_required"},
	{"TransferMethod",
		func(p *schemas.VirtualMediaInsertMediaParameters) bool { return p.TransferMethod == nil },
		func(p *schemas.VirtualMediaInsertMediaParameters, _ *url.URL) {
			m := schemas.StreamTransferMethod
			p.TransferMethod = &m
		}, "the same, is_transfer_method_required"},
	{"MediaType",
		func(p *schemas.VirtualMediaInsertMediaParameters) bool { return p.MediaType == "" },
		func(p *schemas.VirtualMediaInsertMediaParameters, _ *url.URL) {
			p.MediaType = schemas.CDVirtualMediaType
		},
		"DMTF VirtualMedia v1.4, InsertMedia: MediaType may be needed where a slot has several MediaTypes"},
}
