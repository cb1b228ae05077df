package config

// PXE is the section [pxe]: how machines boot from the network.
type PXE struct {
	// KernelAppendParams is put behind the kernel parameters of ramdisks that boot from the network. A node's driver_info,
	// and before it its instance_info, may have its own; %default% in them stands for these.
	KernelAppendParams string `key:"kernel_append_params"`
	// TFTPRoot is a folder with boot loaders of the operator's. Empty means that they are those of the ramdisk folder. Only
	// machines that have a boot get anything from it.
	TFTPRoot string `key:"tftp_root" is:"path"`
	// LoaderFilePaths are boot loaders to be copied into tftp_root when the server starts, as NAME:SOURCE.
	LoaderFilePaths []string `key:"loader_file_paths"`
	// FilePermission is the mode of what is copied, in octal.
	FilePermission string `key:"file_permission"`
	// DirPermission is the mode of folders that are made for it, in octal. Empty means 0755.
	DirPermission string `key:"dir_permission"`
	// UEFIPXEConfigTemplate is the template of GRUB's configuration. Empty, or Ironic's packaged one by name, means the
	// built-in configuration.
	UEFIPXEConfigTemplate string `key:"uefi_pxe_config_template"`
	// IPXEConfigTemplate is the template of iPXE's script. Empty, or Ironic's packaged one by name, means the built-in script.
	IPXEConfigTemplate string `key:"ipxe_config_template"`
	// PXEConfigTemplate is Ironic's template for pxelinux. Only its packaged one is taken, which means nothing here: machines
	// in BIOS mode boot iPXE.
	PXEConfigTemplate string `key:"pxe_config_template"`
	// UEFIPXEBootfileName is the boot loader of the boot interface pxe for UEFI.
	UEFIPXEBootfileName string `key:"uefi_pxe_bootfile_name"`
	// PXEBootfileName is the boot loader of the boot interface pxe for BIOS. It is taken and kept; that combination is refused.
	PXEBootfileName string `key:"pxe_bootfile_name"`
	// UEFIIPXEBootfileName is the iPXE for UEFI.
	UEFIIPXEBootfileName string `key:"uefi_ipxe_bootfile_name"`
	// IPXEBootfileName is the iPXE for BIOS.
	IPXEBootfileName string `key:"ipxe_bootfile_name"`
	// PXEBootfileNameByArch are boot loaders of pxe and http for architectures, as ARCH:NAME or ARCH-MODE:NAME.
	PXEBootfileNameByArch []string `key:"pxe_bootfile_name_by_arch"`
	// IPXEBootfileNameByArch is the same for ipxe and http-ipxe.
	IPXEBootfileNameByArch []string `key:"ipxe_bootfile_name_by_arch"`
	// IPXELoaderIsSigned says that the configured iPXE is signed by a key that the machines trust. Without it, machines with
	// Secure Boot on are refused for ipxe and http-ipxe: Debian's iPXE is not signed.
	IPXELoaderIsSigned bool `key:"ipxe_loader_is_signed"`
	// IPXETimeout is how many seconds iPXE tries to fetch one file. 0 is as long as it likes.
	IPXETimeout int `key:"ipxe_timeout" min:"0" max:"3600"`
	// IPXEFallbackScript is Ironic's script for unknown machines. It must be empty: unknown machines are not answered.
	IPXEFallbackScript string `key:"ipxe_fallback_script"`
	// EnableInsecureTemplateOverride lets nodes have templates of their own in Ironic. It must be false: they are not offered.
	EnableInsecureTemplateOverride bool `key:"enable_insecure_template_override"`
}

func pxeDefaults() PXE {
	return PXE{KernelAppendParams: "nofb vga=normal", FilePermission: "0644", PXEBootfileName: "pxelinux.0", UEFIPXEBootfileName: "bootx64.efi",
		IPXEBootfileName: "undionly.kpxe", UEFIIPXEBootfileName: "snponly.efi"}
}
