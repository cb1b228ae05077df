package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ingot/agent/inventory"
	"ingot/agent/osinstall"
	"ingot/agent/plugin"
	"ingot/agent/raid"
	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

// hintWait is how long a command waits for the disk that the root device hints mean, when the disks
// have settled without it. Source: agent protocol reference §1.2, ipa-disk-wait-attempts and -delay.
const hintWait = 30 * time.Second

// Written is what is known of a disk after an image was written to it; empty where it is not known.
type Written struct {
	RootUUID string // of the root file system, or the MBR's disk signature as 0x%08x
	ESPUUID  string // of the EFI system partition
	// Partitions are the device names of what was made for a partition image, by upstream's words; nil for a whole disk.
	Partitions map[string]string
}

// Writer writes an image, and the config drive if there is one (base64 of gzip, or a URL), to a disk.
// Its errors are *agentapi.CommandError where a class fits.
type Writer func(ctx context.Context, device string, image agentapi.ImageInfo, configDrive string, progress func(agentapi.Progress)) (Written, error)

// Config is what the commands work with.
type Config struct {
	Machine inventory.Machine
	Write   Writer
	// InstallLoader makes the firmware start what is on the disk. Called on UEFI machines only.
	InstallLoader func(ctx context.Context, device string) error
	// Logs gives what happened so far as tar.gz, without the values to hide.
	Logs func(hide []secret.Secret) ([]byte, error)
	// Hide are the secrets of this boot, such as its token.
	Hide []secret.Secret
	// Sync brings everything written to the disks. PowerOff and Reboot follow it.
	Sync     func()
	PowerOff func() error
	Reboot   func() error
	// Parting is how long the answer to power_off or run_image may take to leave the machine before the machine
	// goes down. Zero: it is not waited for.
	Parting time.Duration
	// Lockdown asks the agent to stop serving and to take its NICs down. It returns before that happens.
	Lockdown func()
	// Role is what this boot is for: other roles' commands are refused.
	Role agentapi.Role
	// Standalone: no control plane was asked which node this is; a conductor tells, by poll.node_info.
	Standalone bool
	// Clock hears the control plane's time as poll.node_info tells it, in RFC 3339. May be nil.
	Clock func(stated string)
	// Rescue hands the machine to its tenant; nil: this ramdisk cannot. Its errors are as of Writer, and hold nothing of
	// the parameters.
	Rescue func(context.Context, agentapi.FinalizeRescue) error
	// OS does the work of OS definitions; nil: this ramdisk cannot. Its Disks are filled in by New.
	OS *osinstall.Installer
	// ParallelErase is how many disks are wiped at once, unless the node says otherwise. Below 1 means 1.
	ParallelErase int
	// Patience is how long disks may take to appear after the agent started.
	Patience inventory.Patience
	// RAID works on arrays; without a Tool there are none, and no steps about them.
	RAID raid.Arrays
	// Plugins offer steps beside ours. Without a path there are none.
	Plugins plugin.Folder
	Log     *slog.Logger
}

// Steps holds what commands share. Make it with New.
type Steps struct {
	Config
	settle sync.Once // the wait for disks, once in an agent's life

	mu        sync.Mutex
	node      agentapi.Node
	ports     json.RawMessage // as they came with the node
	plugins   []plugin.Plugin // as they described themselves
	asked     bool            // they were
	written   *Written        // of the image this process wrote last
	writtenTo string          // its disk; "" if there is none
}

// New makes the commands' shared part for node, as the lookup gave it; an empty one if there was none.
func New(c Config, node agentapi.Node) *Steps {
	s := &Steps{Config: c, node: node}
	if c.OS != nil {
		own := *c.OS
		own.Disks, own.Log = s.osDisks, c.Log
		s.OS = &own
	}
	return s
}

// Commands is the table for agent/server.
func (s *Steps) Commands() map[string]server.Command {
	return s.limited(map[string]server.Command{
		"clean.get_clean_steps":        {Run: s.listCleanSteps},
		"clean.execute_clean_step":     {Run: s.executeCleanStep, Async: true},
		"deploy.get_deploy_steps":      {Run: s.listDeploySteps},
		"deploy.execute_deploy_step":   {Run: s.executeDeployStep, Async: true},
		"service.get_service_steps":    {Run: s.listServiceSteps},
		"service.execute_service_step": {Run: s.executeServiceStep, Async: true},
		"standby.sync":                 {Run: s.sync},
		"standby.power_off":            {Run: s.powerOff, Async: true},
		"standby.run_image":            {Run: s.reboot, Async: true},
		"standby.get_partition_uuids":  {Run: s.partitionUUIDs},
		"standby.prepare_image":        {Run: s.prepareImage, Async: true},
		"image.install_bootloader":     {Run: s.installBootloader, Async: true},
		"log.collect_system_logs":      {Run: s.collectLogs},
		"system.lockdown":              {Run: s.lockdown},
		agentapi.CommandHardwareInfo:   {Run: s.hardwareInfo, Open: true},
		agentapi.CommandNodeInfo:       {Run: s.nodeInfo},
		agentapi.CommandSetNodeInfo:    {Run: s.nodeInfo},
		agentapi.CommandRescue:         {Run: s.finalizeRescue, Final: true},
		agentapi.CommandOSVerify:       {Run: ofDefinition(s.osVerify), Async: true},
		agentapi.CommandOSInstall:      {Run: ofDefinition(s.osInstall), Async: true},
		agentapi.CommandOSExport:       {Run: ofDefinition(s.osExport), Async: true},
		agentapi.CommandOSImport:       {Run: ofDefinition(s.osImport), Async: true},
		agentapi.CommandOSRename:       {Run: ofDefinition(s.osRename), Async: true},
	})
}

// setNode takes the node that came with a command: it is newer than what the lookup gave.
func (s *Steps) setNode(n agentapi.Node, ports json.RawMessage) {
	if n.UUID == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
	if len(ports) > 0 {
		s.ports = ports
	}
}

func (s *Steps) currentNode() agentapi.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// decode reads a command's parameters. Unknown ones are ignored: a newer conductor may send more.
func decode(raw json.RawMessage, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return server.Error("InvalidCommandParamsError", "%v", err)
	}
	return nil
}

// SettleDisks waits until the machine's disks have appeared; only the first call does, and others wait for
// it. An agent calls it when it starts, so that no command has to wait. ctx ends with the agent.
func (s *Steps) SettleDisks(ctx context.Context) {
	s.settle.Do(func() {
		start := time.Now()
		disks, err := s.Machine.Settle(ctx, s.Patience, inventory.Any)
		if err != nil {
			s.Log.Warn("disks not listed", "error", err) // whoever needs them lists them again
			return
		}
		s.Log.Info("disks have settled", "disks", len(disks), "after", time.Since(start).Round(time.Millisecond))
	})
}

// disks lists the disks as they are now, but never before they have settled.
func (s *Steps) disks(ctx context.Context) ([]agentapi.Disk, error) {
	s.SettleDisks(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Machine.Disks()
}

// rootDisk is the disk that the node's hints mean, or the smallest. A disk that is not there yet is waited
// for, and then the others are too: which one is the smallest must not depend on their order.
func (s *Steps) rootDisk(ctx context.Context) (agentapi.Disk, error) {
	node := s.currentNode()
	disks, err := s.disks(ctx)
	if err != nil {
		return agentapi.Disk{}, err
	}
	disk, err := s.rootAmong(ctx, node, disks)
	if fault.KindOf(err) == fault.NotFound {
		more := s.Patience
		more.Limit = min(cmp.Or(more.Limit, hintWait), hintWait)
		if disks, err = s.Machine.Settle(ctx, more, func(disks []agentapi.Disk) bool {
			_, err := agentapi.RootDisk(node, disks)
			return err == nil
		}); err != nil {
			return agentapi.Disk{}, err
		}
		disk, err = s.rootAmong(ctx, node, disks)
	}
	if err != nil {
		return agentapi.Disk{}, server.Error("DeviceNotFound", "%v", err)
	}
	return disk, nil
}

// rootAmong chooses the root volume or a disk, and never a disk with a part of an array that is to stay.
func (s *Steps) rootAmong(ctx context.Context, node agentapi.Node, found []agentapi.Disk) (agentapi.Disk, error) {
	if !wantsRAID(node) && len(agentapi.KeptVolumes(node)) == 0 {
		return agentapi.RootDisk(node, found)
	}
	wanted, err := agentapi.Unskipped(node, found)
	if err != nil {
		return agentapi.Disk{}, err
	}
	arrays, err := s.arrays(ctx, node, wanted)
	if err != nil {
		return agentapi.Disk{}, err
	}
	whole := slices.DeleteFunc(slices.Clone(arrays), func(a raid.Array) bool { return onSkipped(a, found, wanted) })
	if disk, ok := rootArray(node, whole); ok {
		return disk, nil
	}
	left, _, err := s.split(node, found, wanted, arrays)
	if err != nil {
		return agentapi.Disk{}, err
	}
	return agentapi.RootDisk(node, left)
}
