package installed

import (
	"context"
	"fmt"
	"os"
)

// list prints what there is.
func (w work) list(ctx context.Context) error {
	w.awake(ctx)
	table, err := w.run(ctx, "lsblk", "--output", "NAME,SIZE,TYPE,FSTYPE,LABEL,RO,MODEL,SERIAL,MOUNTPOINTS")
	if err != nil {
		return err
	}
	fmt.Fprintf(w.out, "Disks:\n%s", table)
	if _, err := os.Stat("/proc/mdstat"); err == nil {
		state, err := os.ReadFile("/proc/mdstat")
		if err != nil {
			return err
		}
		fmt.Fprintf(w.out, "\nRAID (read-only arrays were assembled here; \"rescue-disks mount --rw\" opens them for writing):\n%s", state)
	}
	if volumes, err := w.run(ctx, "lvs", "--options", "lv_path,lv_size,lv_attr,vg_name,devices"); err == nil && len(volumes) > 0 {
		fmt.Fprintf(w.out, "\nLVM:\n%s", volumes)
	}
	all, err := w.devices(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.FSType == "crypto_LUKS" && len(d.Children) == 0 {
			fmt.Fprintf(w.out, "\n%s is encrypted: cryptsetup open --readonly %s NAME, then rescue-disks again.\n", d.Path, d.Path)
		}
	}
	found, err := w.roots(ctx, all)
	if err != nil {
		return err
	}
	fmt.Fprintln(w.out, "\nInstalled systems:")
	for _, r := range found {
		fmt.Fprintf(w.out, "  %s: %s\n", r.device.Path, r.name)
	}
	if len(found) == 0 {
		fmt.Fprintln(w.out, "  none")
	}
	return nil
}
