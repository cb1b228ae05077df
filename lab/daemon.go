package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"ingot/internal/fault"
	"ingot/lab/bmc"
	"ingot/lab/vswitch"
)

const (
	bmcUser    = "admin"
	imagesPort = "8080"
)

// ready is what the daemon says to the process that started it; anything else is why it could not start.
const ready = "ready"

// runDaemon is the daemon: it owns the BMCs, the machines and the image server of the lab that dir's
// state.json describes. It runs inside the lab's namespace until it is told to end by SIGTERM or SIGINT,
// or, with attached, by the end of its standard input. It says on hello when every BMC listens, and
// takes the namespace away when it ends.
func runDaemon(dir string, attached bool, hello io.WriteCloser, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP) // the terminal that started it may go
	d := &daemon{log: log}
	state, err := readState(dir)
	if err == nil {
		d.state = state
		err = d.start()
	}
	if err != nil {
		d.close()
		fmt.Fprint(hello, publicText(err))
		hello.Close()
		return err
	}
	fmt.Fprint(hello, ready)
	hello.Close()
	log.Info("lab is up", "lab", state.Config.Name, "machines", len(state.Machines))
	if attached {
		go func() {
			// Nothing is ever written: reading ends when the other end is closed or its process is dead.
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	<-ctx.Done()
	log.Info("lab goes down", "lab", state.Config.Name)
	return errors.Join(d.close(), removeFromInside(&state.Config))
}

func publicText(err error) string {
	if text, ok := fault.PublicOf(err); ok {
		return text
	}
	return err.Error()
}

// daemon is everything that runs in a lab.
type daemon struct {
	log      *slog.Logger
	state    *State
	images   *http.Server
	bmcs     []*bmc.BMC
	machines []*machine
	vswitch  *vswitch.Switch // nil for a lab without
}

// start brings up the image server and every machine's BMC, and completes the state.
func (d *daemon) start() error {
	c := &d.state.Config
	if err := d.serveImages(c); err != nil {
		return err
	}
	for _, s := range c.specs() {
		if err := d.addMachine(c, s); err != nil {
			return fmt.Errorf("machine %s: %w", s.Name, err)
		}
	}
	if err := d.serveSwitch(c); err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	d.state.DaemonPID, d.state.DaemonStart = os.Getpid(), startTime(os.Getpid())
	return d.state.write()
}

func (d *daemon) addMachine(c *Config, s spec) error {
	if err := s.prepare(c); err != nil {
		return err
	}
	for i, tap := range s.Taps {
		bridge := c.bridge(i + 1)
		if c.Switch {
			bridge = ""
		}
		if err := makeTap(tap, bridge); err != nil {
			return err
		}
	}
	password := rand.Text()
	if err := os.WriteFile(s.passwordFile(), []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	m := &machine{spec: s, config: c, log: d.log}
	if c.SecureBoot {
		m.keys = factoryKeys(varsSecure)
	}
	b, err := bmc.New(bmc.Config{User: bmcUser, Password: password, Machine: m, Name: s.Name, MediaDir: s.mediaDir(),
		Hosts: []string{s.BMC.String()}, Log: d.log})
	if err != nil {
		return err
	}
	d.bmcs, d.machines = append(d.bmcs, b), append(d.machines, m)
	if err := b.Start(net.JoinHostPort(s.BMC.String(), "443")); err != nil {
		return err
	}
	d.state.Machines = append(d.state.Machines, MachineState{Name: s.Name, UUID: s.UUID, BMCURL: b.URL(), User: bmcUser,
		PasswordFile: s.passwordFile(), Fingerprint: b.Fingerprint(), MACs: s.MACs, Ports: c.switchPorts(s), Address: s.Address,
		NetworkDataFile: s.networkFile(), DiskPath: s.disk(), MoreDisks: s.more(c), ConsolePath: s.console(), ConsoleSocket: s.file("console.sock")})
	return nil
}

// serveImages serves the images folder, and nothing that a link in it leads to.
func (d *daemon) serveImages(c *Config) error {
	if err := os.MkdirAll(c.Images, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(c.Images)
	if err != nil {
		return fmt.Errorf("open the images folder: %w", err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(c.address(2).String(), imagesPort))
	if err != nil {
		return fmt.Errorf("serve images: %w", err)
	}
	d.images = &http.Server{Handler: http.FileServerFS(root.FS()), ReadHeaderTimeout: 10 * time.Second}
	go d.images.Serve(ln) // ends with Close
	d.state.ImagesDir, d.state.ImagesURL = c.Images, "http://"+ln.Addr().String()+"/"
	return nil
}

// close ends everything, machines as by a power cut.
func (d *daemon) close() error {
	var errs []error
	if d.vswitch != nil {
		errs = append(errs, d.vswitch.Close())
	}
	for _, b := range d.bmcs {
		errs = append(errs, b.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // SIGKILL takes effect at once, or the host is lost
	defer cancel()
	var all sync.WaitGroup
	failed := make([]error, len(d.machines))
	for i, m := range d.machines {
		all.Go(func() { failed[i] = m.PowerOff(ctx, true) })
	}
	all.Wait()
	errs = append(errs, failed...)
	if d.images != nil {
		errs = append(errs, d.images.Close())
	}
	return errors.Join(errs...)
}

// readPassword reads a BMC's password file.
func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the BMC's password: %w", err)
	}
	return strings.TrimRight(string(b), "\n"), nil
}
