package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// Options says where and how the demo runs. The zero value of each field is its default.
type Options struct {
	Program   string    // the ingot program to drive; default: this one
	Dir       string    // everything that the demo makes; default "ingot-demo" here
	Listen    string    // address of the server's API; default 127.0.0.1:6385
	Lab       string    // the lab's name; default "demo"
	Subnet    string    // of the lab, an IPv4 /24; default 198.18.77.0/24
	MemoryMiB int       // of the machine; default 512
	DiskGiB   int       // of the machine; default 4
	Image     string    // folder with debian.raw.zst and SHA256SUMS; default: made by the demo
	Partition bool      // deploy the root file system alone, as a partition image, and have the disk divided for it
	Keep      bool      // leave lab and server running at the end
	Out       io.Writer // the narration; default standard output
}

// The names that the demo gives; they appear in the commands that it shows.
const (
	nodeName = "demo-1"
	hostName = "demo-host"
	user     = "debian" // cloud-init's default user on Debian
)

// demo is one run under way. Each stage fills in what later ones need.
type demo struct {
	Options
	began    time.Time
	machine  machine
	hostAddr string // this host on the lab's network
	images   string // URL of the lab's image folder
	login    *login
	server   *server
	marker   []byte
	seenHost string  // over ssh
	before   finding // of the deployed disk
	after    finding // of the undeployed one
	nodeMade bool
	times    []timing
	undo     []func(context.Context) error // last first
}

// machine is what `ingot lab ls -o json` tells of one.
type machine struct {
	Name            string   `json:"name"`
	BMCURL          string   `json:"bmc_url"`
	User            string   `json:"user"`
	PasswordFile    string   `json:"password_file"`
	Fingerprint     string   `json:"fingerprint"`
	MACs            []string `json:"macs"`
	Address         string   `json:"address"`
	NetworkDataFile string   `json:"network_data_file"`
	DiskPath        string   `json:"disk_path"`
	ConsolePath     string   `json:"console_path"`
}

type timing struct {
	name string
	took time.Duration
}

// stages is the story, in order. Each ends with a sentence that says what was reached.
var stages = []struct {
	name string
	run  func(*demo, context.Context) (string, error)
}{
	{"make an operating system image", (*demo).makeImage},
	{"make the deploy ramdisk", (*demo).makeRamdisk},
	{"start a lab of one bare machine", (*demo).startLab},
	{"start the server", (*demo).startServer},
	{"enrol the machine", (*demo).enrol},
	{"verify its BMC", (*demo).manage},
	{"clean it", (*demo).provide},
	{"deploy the image", (*demo).deploy},
	{"log in over ssh", (*demo).logIn},
	{"leave a marker on the disk", (*demo).plant},
	{"undeploy and erase", (*demo).undeploy},
	{"look at the disk from outside", (*demo).proof},
}

func (o Options) withDefaults() (Options, error) {
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Dir == "" {
		o.Dir = "ingot-demo"
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:6385"
	}
	if o.Lab == "" {
		o.Lab = "demo"
	}
	if o.Subnet == "" {
		o.Subnet = "198.18.77.0/24"
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 512
	}
	if o.DiskGiB == 0 {
		o.DiskGiB = 4
	}
	if o.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find this program: %w", err)
		}
		o.Program = self
	}
	for _, p := range []*string{&o.Program, &o.Dir, &o.Image} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, fmt.Errorf("find %s: %w", *p, err)
		}
		*p = abs
	}
	return o, nil
}

// Run tells the whole story. It returns nil only if every stage was seen to succeed: the host name that
// ssh gave is the one asked for, and the disk is clean. fault.Forbidden without root. Whatever it started has
// ended when it returns, but for Keep.
func Run(ctx context.Context, options Options) error {
	o, err := options.withDefaults()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fault.New(fault.Forbidden, "The demo needs root: its lab makes a network namespace, and the image's files belong to many users. Run it with sudo.")
	}
	d := &demo{Options: o, began: time.Now()}
	if err := d.prepare(); err != nil {
		return err
	}
	err = d.tell(ctx)
	if err != nil {
		d.explain(ctx)
	}
	if d.Keep && err == nil {
		d.summary()
		return nil
	}
	// What was started is ended even when the caller has given up.
	clear, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for i := len(d.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, d.undo[i](clear))
	}
	if err == nil {
		d.summary()
	}
	return err
}

// prepare makes the demo's folder. What an earlier run left is removed, but for its caches.
func (d *demo) prepare() error {
	l, err := net.Listen("tcp", d.Listen)
	if err != nil {
		return fault.Wrap(fault.Conflict, err, "%s is in use, perhaps by the server of an earlier demo: end it, or give another --listen", d.Listen)
	}
	l.Close()
	for _, sub := range []string{"data", "key"} {
		if err := os.RemoveAll(d.path(sub)); err != nil {
			return fmt.Errorf("remove what an earlier demo left: %w", err)
		}
	}
	for _, sub := range []string{"data", "key", "images"} {
		if err := os.MkdirAll(d.path(sub), 0o700); err != nil {
			return fmt.Errorf("make the demo's folder: %w", err)
		}
	}
	d.marker = []byte("left by a former tenant: " + rand.Text())
	return nil
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.Dir}, parts...)...)
}

func (d *demo) tell(ctx context.Context) error {
	for i, s := range stages {
		d.say("%d/%d %s", i+1, len(stages), s.name)
		began := time.Now()
		reached, err := s.run(d, ctx)
		took := time.Since(began)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		d.times = append(d.times, timing{s.name, took})
		d.line("=> %s (%.1f s)", reached, took.Seconds())
	}
	return nil
}

func (d *demo) makeImage(ctx context.Context) (string, error) {
	if d.Image != "" {
		return "taken from " + d.Image, nil
	}
	d.Image = d.path("images")
	if _, err := d.ingot(ctx, "lab", "image", "--out", d.Image); err != nil {
		return "", err
	}
	if d.Partition {
		return "the root file system of a Debian 12, with signed boot loaders in it", cutRoot(d.Image)
	}
	return "a whole disk of Debian 12 with systemd, cloud-init and sshd, signed for Secure Boot", nil
}

func (d *demo) makeRamdisk(ctx context.Context) (string, error) {
	// The fetched packages are kept where the image is, so that a second demo does not fetch them again.
	cache, err := os.UserCacheDir()
	if err != nil { // no HOME: a service, or a build machine
		cache = "/var/cache"
	}
	if _, err := d.ingot(ctx, "ramdisk", "build", "--out", d.path("data", "ramdisk"), "--work", filepath.Join(cache, "ingot", "ramdisk")); err != nil {
		return "", err
	}
	return "a signed kernel, the agent and drivers on a boot ISO", nil
}

func (d *demo) startLab(ctx context.Context) (string, error) {
	dir := d.path("lab")
	d.undo = append(d.undo, func(ctx context.Context) error {
		_, err := d.ingot(ctx, "lab", "down", "--dir", dir, "--name", d.Lab)
		return err
	})
	if _, err := d.ingot(ctx, "lab", "up", "--dir", dir, "--name", d.Lab, "--subnet", d.Subnet, "--images", d.Image, "--machines", "1", "--secure-boot",
		"--memory", fmt.Sprint(d.MemoryMiB), "--disk", fmt.Sprint(d.DiskGiB)); err != nil {
		return "", err
	}
	out, err := d.quiet(ctx, "lab", "ls", "--dir", dir, "-o", "json")
	if err != nil {
		return "", err
	}
	var state struct {
		HostAddress string    `json:"host_address"`
		ImagesURL   string    `json:"images_url"`
		Machines    []machine `json:"machines"`
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		return "", fmt.Errorf("read what the lab says of itself: %w", err)
	}
	if len(state.Machines) != 1 || len(state.Machines[0].MACs) == 0 || state.HostAddress == "" || state.ImagesURL == "" {
		return "", fmt.Errorf("the lab does not say where its machine is: %s", out)
	}
	d.machine, d.hostAddr, d.images = state.Machines[0], state.HostAddress, state.ImagesURL
	return fmt.Sprintf("one machine, off, %d MiB of memory, a blank disk of %d GiB, Secure Boot on, a BMC at %s", d.MemoryMiB, d.DiskGiB, d.machine.BMCURL), nil
}

func (d *demo) enrol(ctx context.Context) (string, error) {
	m := d.machine
	args := []string{"node", "create", "--driver", "redfish", "--name", nodeName, "--bmc-address", m.BMCURL, "--bmc-username", m.User,
		"--bmc-password-file", m.PasswordFile, "--bmc-fingerprint", m.Fingerprint, "--network-data", m.NetworkDataFile,
		"--property", "cpu_arch=x86_64",
		// A busy host can starve an emulated timer in the moment the kernel tests it.
		"--driver-info", "kernel_append_params=no_timer_check"}
	for _, mac := range m.MACs {
		args = append(args, "--mac", mac)
	}
	if _, err := d.ingot(ctx, args...); err != nil {
		return "", err
	}
	d.nodeMade = true
	return "the server knows the machine and trusts one certificate for its BMC", nil
}

func (d *demo) manage(ctx context.Context) (string, error) {
	_, err := d.ingot(ctx, "node", "manage", nodeName, "--wait", "--timeout", "5m")
	return "the BMC answers, and obeys the password it was given", err
}

func (d *demo) provide(ctx context.Context) (string, error) {
	_, err := d.ingot(ctx, "node", "provide", nodeName, "--wait", "--timeout", "30m")
	return "the machine booted our ramdisk, its disk was erased, it is available", err
}

func (d *demo) deploy(ctx context.Context) (string, error) {
	var err error
	if d.login, err = newLogin(d.path("key")); err != nil {
		return "", err
	}
	args := []string{"node", "deploy", nodeName, "--image", strings.TrimSuffix(d.images, "/") + "/debian.raw.zst", "--checksum", "auto",
		"--ssh-key", d.login.publicFile, "--hostname", hostName, "--network-data", d.machine.NetworkDataFile, "--wait", "--timeout", "60m"}
	if d.Partition {
		args = append(args, "--root-gb", "2", "--swap-mb", "256")
	}
	if _, err = d.ingot(ctx, args...); err != nil {
		return "", err
	}
	size, err := imageSize(filepath.Join(d.Image, "debian.raw.zst"))
	return fmt.Sprintf("an image of %d MiB went to the disk through %d MiB of memory, checked on its way, and the machine boots it",
		size>>20, d.MemoryMiB), err
}

// imageSize is how many bytes a zstd file has when unpacked, as its header says.
func imageSize(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	start := make([]byte, zstd.HeaderMaxSize)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	var h zstd.Header
	if err := h.Decode(start[:n]); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	if !h.HasFCS {
		return 0, fmt.Errorf("%s does not say how large it is", name)
	}
	return h.FrameContentSize, nil
}

func (d *demo) undeploy(ctx context.Context) (string, error) {
	d.login.close()
	_, err := d.ingot(ctx, "node", "undeploy", nodeName, "--wait", "--timeout", "60m")
	return "the machine is available to the next tenant", err
}
