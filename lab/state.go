package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// State is what a running lab is, as its folder's state.json has it. It holds no secrets.
type State struct {
	Config Config `json:"config"`
	// Daemon is the process that owns the lab; its start time tells it from a later one with its pid.
	DaemonPID   int    `json:"daemon_pid"`
	DaemonStart string `json:"daemon_start"`
	// Namespace is the network namespace, as `ip netns exec` takes it.
	Namespace string `json:"namespace"`
	// HostAddress is this host on the lab's first network: servers that listen there reach and are reached by
	// machines and BMCs.
	HostAddress netip.Addr `json:"host_address"`
	// ImagesURL serves ImagesDir, with ranges. It ends with a slash.
	ImagesURL string         `json:"images_url"`
	ImagesDir string         `json:"images_dir"`
	Machines  []MachineState `json:"machines"`
	// Switch is how the lab's switch is asked; nil for a lab without.
	Switch *SwitchState `json:"switch,omitempty"`
}

// MachineState is one machine of a running lab.
type MachineState struct {
	Name         string `json:"name"`
	UUID         string `json:"uuid"`
	BMCURL       string `json:"bmc_url"`
	User         string `json:"user"`
	PasswordFile string `json:"password_file"`
	// Fingerprint is the SHA-256 of the BMC's certificate, 64 hex digits. It changes with every up.
	Fingerprint string   `json:"fingerprint"`
	MACs        []string `json:"macs"`
	// Ports are where its NICs are cabled to, in the order of MACs; none in a lab without a switch.
	Ports []SwitchPort `json:"switch_ports,omitempty"`
	// Address is what the machine is offered on the first network; NetworkDataFile says it in Nova's form.
	Address         netip.Addr `json:"address"`
	NetworkDataFile string     `json:"network_data_file"`
	DiskPath        string     `json:"disk_path"`
	MoreDisks       []string   `json:"more_disks,omitempty"`
	ConsolePath     string     `json:"console_path"`
	// ConsoleSocket is a Unix socket with the serial line: what is written to it is typed at the machine. It
	// is there while the machine is on.
	ConsoleSocket string `json:"console_socket"`
}

func statePath(dir string) string { return filepath.Join(dir, "state.json") }

// readState reads a lab's state; fault.NotFound if nothing was up in dir.
func readState(dir string) (*State, error) {
	b, err := os.ReadFile(statePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "No lab is up in %s: start one with `ingot lab up --dir %s`.", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the lab's state: %w", err)
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read the lab's state: %w", err)
	}
	return &s, nil
}

// write replaces state.json as a whole: a reader sees the old one or the new one.
func (s *State) write() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := statePath(s.Config.Dir)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// alive tells whether the daemon of this state runs.
func (s *State) alive() bool {
	return s.DaemonPID > 0 && s.DaemonStart != "" && startTime(s.DaemonPID) == s.DaemonStart
}

// startTime is when a process started, in clock ticks since boot; "" if there is none or it is a zombie.
func startTime(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The command, in parentheses, may hold anything: count from its end (proc(5), /proc/pid/stat).
	_, rest, ok := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}
