package image

import (
	"slices"
	"strings"

	"ingot/internal/fault"
)

// Rules are what an operator permits of images.
type Rules struct {
	// Permitted are the formats an image may have; nil is those of DefaultPermitted. Raw permits GPT, too, which is a raw disk that
	// has a partition table, of whichever kind.
	Permitted []Format
	// Shallow leaves out what is not needed to read an image safely: whether it is of a permitted format and of the declared
	// one, whether it is of several formats at once, and whether an ISO is well-formed. What could lead a reader elsewhere is
	// refused all the same: backing and data files, unknown features, encryption.
	Shallow bool
}

// DefaultPermitted are the formats an image may have unless the operator says otherwise: all that can be read here.
func DefaultPermitted() []Format { return []Format{Raw, Format(GPT), QCOW2, ISO} }

// ParsePermitted reads an operator's list. What cannot be read here cannot be permitted.
func ParsePermitted(words []string) ([]Format, error) {
	var list []Format
	for _, word := range words {
		f := Format(strings.ToLower(strings.TrimSpace(word)))
		_, known := names[f]
		switch {
		case slices.Contains(DefaultPermitted(), f):
			list = append(list, f)
		case known || f == "ami" || f == "ari" || f == "aki" || f == "ploop" || f == "parallels":
			return nil, fault.New(fault.Invalid, "The image format %q cannot be permitted: there is no decoder for it. raw, gpt, qcow2 and iso can be.", word)
		default:
			return nil, fault.New(fault.Invalid, "%.40q is no image format that is known here: raw, gpt, qcow2 and iso can be permitted.", word)
		}
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Invalid, "No image format is permitted, so nothing could be deployed: permit some of raw, gpt, qcow2 and iso.")
	}
	return list, nil
}

// permits tells whether an image may have a format. GPT is a raw disk with a partition table, Raw one of a partition.
func (r Rules) permits(f Format) bool {
	list := r.Permitted
	if list == nil {
		list = DefaultPermitted()
	}
	return r.Shallow || slices.Contains(list, f) || f == Format(GPT) && slices.Contains(list, Raw)
}

// permit refuses a format that is not permitted.
func (r Rules) permit(f Format) error {
	if r.permits(f) {
		return nil
	}
	return fault.New(fault.Invalid, "The image is %s, and this format is not permitted here ([conductor] permitted_image_formats).", f.inWords())
}

// agree refuses an image whose content is not what it was declared to be. Both words of a raw disk agree with it.
func (r Rules) agree(declared string, f Format) error {
	is := []string{"", string(Unknown), string(f)}
	if f == Format(GPT) {
		is = append(is, string(Raw))
	}
	if r.Shallow || slices.Contains(is, strings.ToLower(declared)) {
		return nil
	}
	return fault.New(fault.Invalid, "The image is declared as %.40q but its content is %s: correct the declared disk format (image_disk_format).", declared, f.inWords())
}

// CheckDeclared refuses what a node's instance_info says of its image, as ReadDeclared does, and a format that is not permitted.
func (r Rules) CheckDeclared(info map[string]any) error {
	d, err := ReadDeclared(info)
	if err != nil {
		return err
	}
	format := Format(strings.ToLower(asText(info["image_disk_format"])))
	if format == Raw && !d.Partition {
		format = Format(GPT)
	}
	if format == "" || format == Unknown {
		return nil
	}
	return r.permit(format)
}

// names are the formats in words.
var names = map[Format]string{
	Raw: "raw", Format(GPT): "a raw disk", QCOW2: "qcow2", QED: "qed", VMDK: "a VMware disk (vmdk)", VHD: "a Virtual PC disk (vhd)", VHDX: "a Hyper-V disk (vhdx)",
	VDI: "a VirtualBox disk (vdi)", ISO: "an ISO 9660 or UDF medium (iso)", LUKS: "an encrypted volume (luks)",
}

func (f Format) inWords() string {
	if n, ok := names[f]; ok {
		return n
	}
	return string(f)
}

// Told are the permitted formats as agents are told them: all that can be read here where none are left out.
func (r Rules) Told() []string {
	var words []string
	for _, f := range DefaultPermitted() {
		if r.permits(f) {
			words = append(words, string(f))
		}
	}
	return words
}
