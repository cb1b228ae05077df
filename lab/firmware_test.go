package lab

import (
	"strings"
	"testing"

	"ingot/lab/bmc"
)

func TestFirmwareOfABoot(t *testing.T) {
	uefi := Defaults()
	bios := uefi
	bios.Firmware = BIOS
	bios.Networks = 2
	for _, row := range []struct {
		label     string
		config    Config
		boot      bmc.Boot
		has, lack []string
	}{
		{"from the disk", uefi, bmc.Boot{}, []string{codeSecure, "IPv4PXESupport,string=yes"}, nil},
		{"by PXE", uefi, bmc.Boot{First: "Pxe"}, []string{"IPv4PXESupport,string=yes", "IPv6PXESupport,string=no"}, nil},
		{"by HTTP", uefi, bmc.Boot{First: "UefiHttp"}, []string{"IPv4PXESupport,string=no", "IPv6PXESupport,string=no"}, nil},
		{"by BIOS", bios, bmc.Boot{First: "Pxe", Legacy: true}, []string{"graphics=off"}, []string{"pflash", "smm=on", "fw_cfg"}},
		{"by UEFI, of a machine that has both", bios, bmc.Boot{}, []string{codeSecure}, nil},
	} {
		args := strings.Join(row.config.specs()[0].qemuArgs(&row.config, row.boot), " ")
		for _, want := range row.has {
			if !strings.Contains(args, want) {
				t.Errorf("%s: no %s in %s", row.label, want, args)
			}
		}
		for _, not := range row.lack {
			if strings.Contains(args, not) {
				t.Errorf("%s: %s in %s", row.label, not, args)
			}
		}
		with := row.config.Networks - strings.Count(args, "romfile=") // the ROM is QEMU's default
		if row.boot.Legacy != (with == 1) || with > 1 {
			t.Errorf("%s: %d NICs with a boot ROM", row.label, with)
		}
	}
}
