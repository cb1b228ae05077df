package config

// ImageRules is the part of the section [conductor] about what images may be deployed. Servers that serve the API read it, too.
type ImageRules struct {
	// PermittedImageFormats are the formats that images may have, of raw, gpt, qcow2 and iso. gpt is a whole disk with a partition
	// table of either kind, and raw permits it, too; iso is a medium that has one. A format that cannot be read here cannot be permitted.
	PermittedImageFormats []string `key:"permitted_image_formats"`
	// ConductorAlwaysValidatesImages has the conductor fetch, verify and check images that machines fetch themselves, before it
	// switches them on. Each then needs room in the data folder while it is checked ([pxe] image_cache_size).
	ConductorAlwaysValidatesImages bool `key:"conductor_always_validates_images"`
	// DisableDeepImageInspection leaves out three checks: permitted_image_formats, that an image is what it was declared to be, and that
	// it is not of several formats at once. What could lead a reader elsewhere is refused all the same: backing files, data files,
	// unknown features, encryption.
	DisableDeepImageInspection bool `key:"disable_deep_image_inspection"`
}

func imageRules() ImageRules {
	return ImageRules{PermittedImageFormats: []string{"raw", "gpt", "qcow2", "iso"}}
}
