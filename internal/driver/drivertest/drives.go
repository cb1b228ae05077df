package drivertest

import (
	"context"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Drives are a machine's virtual drives as callers use them.
type Drives interface {
	AttachMedia(ctx context.Context, n *metal.Node, m metal.Medium) error
	DetachMedia(ctx context.Context, n *metal.Node, kinds []string) error
	MediaDevices(ctx context.Context, n *metal.Node) ([]metal.MediaDevice, error)
}

// drives: what was attached is shown, whatever was there before, and is gone when it was detached.
func drives(t *testing.T, b Bench) {
	if b.Drives == nil {
		t.Skip("this driver has no virtual drives")
	}
	holds := func(want string) {
		t.Helper()
		list, err := b.Drives.MediaDevices(t.Context(), b.Node)
		if err != nil || len(list) == 0 {
			t.Fatalf("drives: %+v, %v", list, err)
		}
		got := ""
		for _, d := range list {
			if d.Inserted != (d.Image != "") {
				t.Errorf("a drive that is and is not empty: %+v", d)
			}
			got += d.Image
		}
		if got != want {
			t.Fatalf("in the drives: %q; want %q", got, want)
		}
	}
	holds("")
	for _, image := range []string{b.Images[0], b.Images[1], b.Images[1]} {
		if err := b.Drives.AttachMedia(t.Context(), b.Node, metal.Medium{Kind: "cdrom", URL: image}); err != nil {
			t.Fatalf("attach: %v", err)
		}
		holds(image)
	}
	if err := b.Drives.DetachMedia(t.Context(), b.Node, []string{"floppy"}); err != nil {
		t.Fatalf("detach from another: %v", err)
	}
	holds(b.Images[1])
	for _, kinds := range [][]string{{"cdrom", "disk"}, nil} {
		if err := b.Drives.DetachMedia(t.Context(), b.Node, kinds); err != nil {
			t.Fatalf("detach: %v", err)
		}
		holds("")
	}
	if err := b.Drives.AttachMedia(t.Context(), b.Node, metal.Medium{Kind: "tape", URL: b.Images[0]}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a drive that is none: %v", err)
	}
}
