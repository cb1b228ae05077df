package conductor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
	"ingot/internal/origin"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// Config is what the conductor reads from the configuration.
type Config struct {
	// Host names this conductor; unique among all that share a database.
	Host string
	// Group is the conductor group it serves.
	Group string
	// Lease is how long a claim lasts unless renewed; the work of a dead conductor is taken over after it.
	// Default 15s.
	Lease time.Duration
	// Workers is how many operations may be worked on at a time. Each costs little while its BMC or agent takes
	// its time, and dead ones must not leave the others without. Default 300.
	Workers int
	// SlowWorkers is how many more may be that are waiting for a machine or a BMC which does not answer. Default 1000.
	SlowWorkers int
	// Patience is how long an operation counts among the Workers before it goes on among the SlowWorkers. Default 1s.
	Patience time.Duration
	// Poll is how often a machine that works is looked at. Default 2s.
	Poll time.Duration
	// Backoff is the pause before a failed step is tried again; it doubles. Default 2s.
	Backoff time.Duration
	// DeployCallbackLimit is how long a machine may take to call back after power-on in a deploy; 0: for ever.
	// Default 30m.
	DeployCallbackLimit time.Duration
	// CleanCallbackLimit is the same in cleaning. Default 30m.
	CleanCallbackLimit time.Duration
	// InspectCallbackLimit is the same in an inspection. Default 30m.
	InspectCallbackLimit time.Duration
	// VouchLimit is how long an inspection waits for the agent once a report has come without the token of the
	// boot. Default 2m.
	VouchLimit time.Duration
	// Sweep is what comes round by itself.
	Sweep SweepConfig
	// Inspect is what an inspection does with what it finds.
	Inspect InspectConfig
	// ImageSource is from where machines get their images: "http", from the image's own address, or "local", from us.
	// Default http.
	ImageSource string
	// ImageRules are what is permitted of images. Default: image.DefaultPermitted.
	ImageRules image.Rules
	// ValidateImages reads images whole, too, that machines fetch themselves. Default false.
	ValidateImages bool
	// WriteLimit is how long writing an image may take. Default 4h.
	WriteLimit time.Duration
	// ServiceCallbackLimit is the same in service. Default 30m.
	ServiceCallbackLimit time.Duration
	// RescueCallbackLimit is the same in a rescue that has no limit of its own. Default 30m.
	RescueCallbackLimit time.Duration
	// CleanStepLimit is how long one clean step may take. Default 24h.
	CleanStepLimit time.Duration
	// DeployStepLimit is how long one deploy step may take, other than writing the image. Default 4h.
	DeployStepLimit time.Duration
	// ServiceStepLimit is how long one service step may take. Default 4h.
	ServiceStepLimit time.Duration
	// AbandonLimit is how long an operation may stay without a server that serves its driver or knows its plan.
	// Default 1h.
	AbandonLimit time.Duration
	// SoftOffLimit is how long a machine may take to switch itself off before it is switched off. Default 1m.
	SoftOffLimit time.Duration
	// SettingLimit is how long a machine may take, POST included, to boot with the boot mode and the Secure Boot that it
	// was told. Default 15m.
	SettingLimit time.Duration
	// PowerGrace is how long a machine may take to follow a power request before it is asked again. Default 1m.
	PowerGrace time.Duration
	// PowerDoubt is the same for a request of which nobody knows whether it was made: the conductor died about then. Default 10s.
	PowerDoubt time.Duration
	// SoftPowerLimit is how long a soft power change may take unless the caller says. Default 10m.
	SoftPowerLimit time.Duration
	// Slots is how many operations may hold a slot of each kind at a time; it is for those that stand in line. Default
	// metal.DefaultSlots.
	Slots metal.SlotLimits
	// Memory guards work that holds much of it.
	Memory MemoryConfig
	// AutomatedClean says whether nodes are cleaned unless they say otherwise. Default true.
	AutomatedClean bool
	// StepPriority overrides the priority of clean steps that run by themselves, by "<interface>.<step>"; 0 leaves a
	// step out.
	StepPriority map[string]int
	// FirmwareDrift says what becomes of a machine whose firmware is not as its baseline after cleaning: DriftFails, DriftWarns (the
	// default) or DriftIgnored. FirmwareDriftIgnore are patterns of what is not compared, see metal.FirmwareDrift.
	FirmwareDrift       string
	FirmwareDriftIgnore []string
	// RefuseSharedRescue refuses nodes whose rescuing network is their provisioning or cleaning network, too; else validate
	// warns. Default false.
	RefuseSharedRescue bool
	// Erasure is how agents erase disks.
	Erasure Erasure
	// CollectLogs says when the logs of a ramdisk are kept: LogsAlways, LogsOnFailure or LogsNever.
	CollectLogs string
	// AgentURL is the agents' door as machines reach it, AgentCA the PEM its certificate chains to.
	AgentURL, AgentCA string
	// Listeners are the URLs of this server's listeners, and those at which others reach the control plane.
	Listeners []string
	// AgentDoor finds both where the door is another process's; nil: they are as above.
	AgentDoor func() (url, ca string, err error)
	// KernelParams is appended to the ramdisk's kernel command line, unless the node's driver_info has its own.
	KernelParams string
	// NetKernelParams is the same for ramdisks that boot from the network.
	NetKernelParams string
	// PollOnly says that agents call nobody and are asked, unless their node says otherwise. Default false.
	PollOnly bool
	// PollInterval is how often an agent is asked of which nothing is wanted but that it is there. Default 5m.
	PollInterval time.Duration
	// AgentPort is where agents that are asked listen. Default 9999.
	AgentPort int
	// PollWorkers is how many agents may be asked at a time, PollSlowWorkers how many more that work or do not answer.
	// Defaults 256 and 10000.
	PollWorkers, PollSlowWorkers int
	// ForceConfigDrive gives every instance a config drive whose node does not say that it wants none. Default false.
	ForceConfigDrive bool
	// DriveFormat is seed.FormatISO (the default) or seed.FormatVFAT.
	DriveFormat string
	// SignedIPXE says that the operator's iPXE is signed by a key that machines trust.
	SignedIPXE bool
	// OSInstall limits installations with OS definitions.
	OSInstall OSInstallConfig
}

// Defaults is the only place with default values.
func Defaults() Config {
	return Config{Lease: 15 * time.Second, Workers: 300, SlowWorkers: 1000, Patience: time.Second, Poll: 2 * time.Second, Backoff: 2 * time.Second,
		DeployCallbackLimit: 30 * time.Minute, CleanCallbackLimit: 30 * time.Minute, ServiceCallbackLimit: 30 * time.Minute, RescueCallbackLimit: 30 * time.Minute,
		InspectCallbackLimit: 30 * time.Minute, VouchLimit: 2 * time.Minute,
		Sweep:      sweepDefaults(),
		Inspect:    InspectConfig{AddPorts: "pxe", KeepPorts: "all", UpdatePXEEnabled: true, PowerOff: true},
		WriteLimit: 4 * time.Hour, CleanStepLimit: 24 * time.Hour, DeployStepLimit: 4 * time.Hour, ServiceStepLimit: 4 * time.Hour, AbandonLimit: time.Hour,
		SoftOffLimit: time.Minute, SettingLimit: 15 * time.Minute, PowerGrace: time.Minute, PowerDoubt: 10 * time.Second, SoftPowerLimit: 10 * time.Minute, AutomatedClean: true, Slots: metal.DefaultSlots(), Memory: memoryDefaults(), StepPriority: map[string]int{},
		Erasure: Erasure{Iterations: 1, Zeroize: true, ATA: true, NVMe: true, Parallel: 4}, CollectLogs: LogsOnFailure, FirmwareDrift: DriftWarns,
		PollInterval: 5 * time.Minute, AgentPort: 9999, PollWorkers: 256, PollSlowWorkers: 10000, OSInstall: osInstallDefaults()}
}

// Depot offers files to machines on the boot listener.
type Depot interface {
	// BootISO is the URL of the boot ISO made for one boot of a node; its role says from which ramdisk.
	BootISO(node, boot string, role agentapi.Role, until time.Time) (string, error)
	// Check tells whether the boot ISO can hold what one boot is given.
	Check(boot agentapi.BootConfig, kernelParams string) error
	// File is the URL of a file:// image, if the operator allows that file.
	File(path string, until time.Time) (string, error)
	// Reachable tells whether the boot URL answers, the node's BMC could reach it, and the role's ramdisk is there, with an
	// error that says what to mend.
	Reachable(ctx context.Context, n *metal.Node, role agentapi.Role) error
}

// Conductor claims operations and walks their plans.
type Conductor struct {
	db       *store.DB
	config   Config
	hardware map[string]Hardware
	depot    Depot
	images   Images           // nil: machines fetch images where they are
	origins  *origin.Resolver // where images come from
	netDepot NetDepot         // nil: nothing boots from the network
	pusher   Pusher           // nil: machines fetch their boot ISOs from the depot
	leases   Leases           // nil: no DHCP server of ours is known
	secrets  Secrets          // nil: this server keeps none

	vendordata *vendordata.Service // nil: there are no targets
	log        *slog.Logger
	lanes      lanes
	memory     spareMemory
	process    string                   // this one among all of its name, those before it too
	crash      func(where string) error // tests kill the runner here; nil otherwise
	watch      Watcher
	tamper     func([]step) // tests break steps here; nil otherwise
}

// New makes a conductor for the hardware types given by driver name.
func New(db *store.DB, c Config, hw map[string]Hardware, d Depot, log *slog.Logger) *Conductor {
	return &Conductor{db: db, config: c, hardware: hw, depot: d, log: log, watch: nobody{}, lanes: newLanes(c.Sweep.PowerWorkers), process: uuid.NewString() + "@" + c.Host,
		memory: spareMemory{read: availableMemory}, origins: origin.Plain()}
}

// Register writes this conductor's sign of life, so that nodes of its hardware can be enrolled.
func (c *Conductor) Register(ctx context.Context) error {
	types := make([]metal.HardwareType, 0, len(c.hardware))
	for _, hw := range c.hardware {
		types = append(types, hw.Type)
	}
	return c.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.SigningKey() // made now, so that it can be had before the first certificate
		return errors.Join(err, tx.SaveConductor(c.config.Host, c.config.Group, types))
	})
}

// Run works until ctx ends. What an earlier process of this name left is taken over at once: a name has
// one process.
func (c *Conductor) Run(ctx context.Context) error {
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.DropLeases(c.config.Host), tx.DropSweepLeases(c.config.Host), tx.DropPollLeases(c.config.Host))
	})
	if err == nil {
		err = c.Register(ctx)
	}
	if err == nil {
		err = c.ensureSweeps(ctx)
	}
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	for _, s := range c.sweepers() {
		work.Go(func() { s.run(ctx) })
	}
	work.Go(func() { c.allocations(ctx) })
	work.Go(func() { c.poll(ctx) })
	turns := newTurns(c.config.Workers, c.config.SlowWorkers, c.config.Patience)
	beat := time.NewTicker(10 * time.Second)
	defer beat.Stop()
	for ctx.Err() == nil {
		changed := c.db.Changed()
		c.claimAll(ctx, turns, &work)
		wait, line := c.untilDue(ctx)
		if line {
			c.grantSlots(ctx)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-turns.freed:
		case <-time.After(wait):
		case <-beat.C:
			if err := c.Register(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("conductor cannot write its sign of life", "error", err)
			}
		}
	}
	work.Wait()
	forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return c.db.Write(forget, func(tx *store.Tx) error { return tx.ForgetConductor(c.config.Host) })
}

// untilDue is how long nothing needs to be claimed, at most a second: other processes may add work. line: some operations wait for
// a slot.
func (c *Conductor) untilDue(ctx context.Context) (wait time.Duration, line bool) {
	wait = time.Second
	_ = c.db.Read(ctx, func(tx *store.Tx) (err error) {
		if line, err = tx.AnyInLine(); err != nil {
			return err
		}
		due, err := tx.NextDue(c.scope())
		if err != nil || due.IsZero() {
			return err
		}
		now, err := tx.Now()
		if err == nil {
			wait = min(wait, max(due.Sub(now), 5*time.Millisecond))
		}
		return err
	})
	return wait, line
}

func (c *Conductor) claimAll(ctx context.Context, turns *turns, work *sync.WaitGroup) {
	for {
		leave, ok := turns.enter()
		if !ok {
			return // all workers are busy; the end of one announces itself as a change
		}
		claimed := time.Now()
		row, err := c.claim(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("operations cannot be claimed", "error", err)
		}
		if row == nil {
			leave()
			return
		}
		work.Add(1)
		go func() {
			defer work.Done()
			defer leave()
			c.work(ctx, row, claimed)
		}()
	}
}

// scope is what this conductor serves.
func (c *Conductor) scope() store.Scope {
	return store.Scope{Drivers: slices.Sorted(maps.Keys(c.hardware)), Group: c.config.Group}
}

func (c *Conductor) claim(ctx context.Context) (row *store.Operation, err error) {
	var due bool
	err = c.db.Read(ctx, func(tx *store.Tx) error { // an empty look costs no write lock
		at, err := tx.NextDue(c.scope())
		if err != nil || at.IsZero() {
			return err
		}
		now, err := tx.Now()
		due = !at.After(now)
		return err
	})
	if err != nil || !due {
		return nil, err
	}
	err = c.db.Write(ctx, func(tx *store.Tx) error {
		row, err = tx.Claim(c.config.Host, c.scope(), c.config.Lease)
		return err
	})
	if err == nil && row != nil {
		c.watch.Claimed(row.TakenOverFrom != "")
	}
	return row, err
}

// BootConfig is what one boot of a node's ramdisk is given. An older boot than the current is
// fault.NotFound: its token is worth nothing.
func (c *Conductor) BootConfig(ctx context.Context, node, boot string) (agentapi.BootConfig, string, error) {
	var out agentapi.BootConfig
	var params string
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(node)
		if err != nil {
			return err
		}
		a, err := tx.Agent(n)
		if err != nil {
			return err
		}
		if a == nil || a.Boot != boot {
			return fault.New(fault.NotFound, "This boot of node %s is over.", node)
		}
		out, params, err = c.bootConfig(n, a)
		return err
	})
	return out, params, err
}

// bootConfig is what a boot of the node is given whose agent is a, and the kernel parameters of its ramdisk.
func (c *Conductor) bootConfig(n *metal.Node, a *store.Agent) (agentapi.BootConfig, string, error) {
	network, err := networkData(n)
	if err != nil {
		return agentapi.BootConfig{}, "", err
	}
	door, ca := c.config.AgentURL, c.config.AgentCA
	if c.config.AgentDoor != nil && !a.PollOnly {
		if door, ca, err = c.config.AgentDoor(); err != nil {
			return agentapi.BootConfig{}, "", err
		}
	}
	params := c.config.KernelParams
	if slices.Contains(netInterfaces, n.Interface("boot")) {
		params = c.config.NetKernelParams
	}
	if params, err = depot.AppendParams(params, n.DriverInfo.Public("kernel_append_params"), n.InstanceInfo.Public("kernel_append_params")); err != nil {
		return agentapi.BootConfig{}, "", err
	}
	if !a.PollOnly && (n.ProvisionState == metal.Inspecting || n.ProvisionState == metal.InspectWait) { // upstream's agents report there
		params = strings.TrimSpace(params + " ipa-inspection-callback-url=" + door + "/v1/continue_inspection")
	}
	config := agentapi.BootConfig{Version: 1, Role: cmp.Or(a.Role, bootRole(n)), APIURL: door, CA: ca, NodeUUID: n.UUID, AgentToken: a.Token.Expose(),
		NetworkData: network, Time: time.Now().UTC().Format(time.RFC3339)}
	if a.PollOnly {
		config = polledConfig(config, a)
	}
	return config, params, nil
}
