package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// loginLimit is how long the first boot may take: firmware, kernel, cloud-init, all emulated. About 90 s is
// usual, on a busy host three times that.
const loginLimit = 15 * time.Minute

func (d *demo) logIn(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	d.line("$ ssh -i %s %s@%s hostname", d.login.privateFile, user, d.machine.Address)
	d.line("(waiting for the machine to boot and answer on ssh, at most %s)", loginLimit)
	if err := d.login.dial(ctx, d.machine.Address); err != nil {
		return "", err
	}
	for _, c := range []struct {
		command string
		keep    *string
	}{
		{"hostname", &d.seenHost},
		{"cloud-init status --wait | tail -n 1", nil},
		{"mokutil --sb-state", nil},
		{"uname -sr", nil},
		{"grep MemTotal /proc/meminfo", nil},
		{"uptime -p", nil},
	} {
		out, err := d.login.run(ctx, c.command)
		if err != nil {
			return "", fmt.Errorf("%s on the machine: %w", c.command, err)
		}
		d.line("%s: %s", c.command, out)
		if c.keep != nil {
			*c.keep = out
		}
	}
	if d.seenHost != hostName {
		return "", fmt.Errorf("the machine calls itself %q, not %q: cloud-init did not read the config drive", d.seenHost, hostName)
	}
	return fmt.Sprintf("a running server that calls itself %s and lets in the key it was given", d.seenHost), nil
}

// plant writes the marker through the tenant's file system, and sees it on the disk from outside: only what
// was there can be shown to be gone.
func (d *demo) plant(ctx context.Context) (string, error) {
	command := fmt.Sprintf("for i in $(seq 1000); do echo '%s'; done > former-tenant.txt && sync && wc -l < former-tenant.txt", d.marker)
	out, err := d.login.run(ctx, command)
	if err != nil {
		return "", fmt.Errorf("write the marker: %w", err)
	}
	if strings.TrimSpace(out) != "1000" {
		return "", fmt.Errorf("the marker was not written: %q", out)
	}
	if d.before, err = look(d.machine.DiskPath, d.marker); err != nil {
		return "", err
	}
	d.line("%s", d.before)
	if !d.before.GPT || !d.before.BackupGPT || d.before.Marker == 0 {
		return "", errors.New("what the tenant wrote is not seen on the disk from outside, so its absence would prove nothing")
	}
	return "what a tenant leaves behind is on the disk", nil
}

func (d *demo) proof(context.Context) (string, error) {
	var err error
	if d.after, err = look(d.machine.DiskPath, d.marker); err != nil {
		return "", err
	}
	d.line("%s", d.after)
	if !d.after.clean() {
		return "", fmt.Errorf("disk clean: no (%s)", d.after)
	}
	return "partition table and marker are gone", nil
}

// summary is the end of the story: what was seen, what it took, how to go on.
func (d *demo) summary() {
	d.say("done")
	if d.Keep {
		d.line("Lab and server are still running. To go on by hand:")
		for _, l := range []string{
			"export INGOT_ENDPOINT=" + d.endpoint(),
			d.Program + " node list",
			d.deployByHand(),
			fmt.Sprintf("ssh -i %s -o StrictHostKeyChecking=no %s@%s", d.login.privateFile, user, d.machine.Address),
			fmt.Sprintf("%s node events %s; %s node why %s", d.Program, nodeName, d.Program, nodeName),
			fmt.Sprintf("%s lab console --dir %s %s --follow", d.Program, d.path("lab"), d.machine.Name),
			fmt.Sprintf("kill %d; %s lab down --dir %s   # to end it", d.server.pid(), d.Program, d.path("lab")),
		} {
			d.line("  %s", l)
		}
	} else {
		d.line("To go on by hand, run it again and keep what it starts: %s lab demo --keep", d.Program)
		d.line("Every command above can be typed as it stands; logs and the last disk are in %s.", d.Dir)
	}
	fmt.Fprintln(d.Out)
	for _, t := range d.times {
		fmt.Fprintf(d.Out, "%-34s %7.1f s\n", t.name, t.took.Seconds())
	}
	fmt.Fprintf(d.Out, "%-34s %7.1f s\n", "all", time.Since(d.began).Seconds())
	fmt.Fprintf(d.Out, "host name over ssh: %s\n", d.seenHost)
	fmt.Fprintf(d.Out, "disk clean: yes\n")
}

func (d *demo) deployByHand() string {
	return fmt.Sprintf("%s node deploy %s --image %sdebian.raw.zst --ssh-key %s --network-data %s --wait",
		d.Program, nodeName, d.images, d.login.publicFile, d.machine.NetworkDataFile)
}
