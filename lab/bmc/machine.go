package bmc

import (
	"context"
	"errors"
)

// Machine is what a BMC controls. Its methods may be called at the same time from many requests.
type Machine interface {
	// PowerOn starts the machine and returns when it runs; a running machine is left alone. The machine
	// calls next at this start and again at every reset until it is off, once for each boot.
	PowerOn(ctx context.Context, next NextBoot) error
	// PowerOff with hard takes the power away and returns when it is gone. Without hard it presses the power
	// button and returns nil when the guest has gone down, or ctx's error if that takes longer.
	PowerOff(ctx context.Context, hard bool) error
	// Powered tells whether the machine runs. A guest may switch itself off.
	Powered() bool
	// SetMedia changes what is in the CD drive of a running machine: a path as in Boot.Media, "" for nothing.
	// It is not called for a machine that is off.
	SetMedia(ctx context.Context, path string) error
	// Console is the newest part of what the guest has printed on its serial line.
	Console() []byte
	// MACs are those of the machine's NICs in slot order, lower case with colons.
	MACs() []string
	// Inventory is what the machine is made of. It does not change.
	Inventory() Inventory
}

// NextBoot tells what the next boot starts from. Each call stands for one boot: an override that was meant
// for one boot is spent by it.
type NextBoot func() Boot

// Boot is what one boot of a machine starts from.
type Boot struct {
	// First is the device to try first, in Redfish's words ("Cd", "Hdd", "Pxe", …); "" leaves it to the
	// firmware's own order.
	First string
	// Media is the image in the CD drive: a path on this host, "" for an empty drive. A BMC without
	// Config.MediaDir fetches nothing and gives the URL as it was asked.
	Media string
	// Legacy: the firmware boots as a BIOS does, not by UEFI.
	Legacy bool
	// SecureBoot: the firmware runs only what its keys sign, in this boot.
	SecureBoot bool
	// Keys: the firmware has keys for Secure Boot. Without them it is in setup mode.
	Keys bool
	// KeyStore is what these keys are; nil is the factory's.
	KeyStore *KeyStore
}

// Inventory is what a BMC tells of its machine. Zero values are left out of the answers.
type Inventory struct {
	UUID         string
	Manufacturer string
	Model        string
	Serial       string
	MemoryMiB    int
	CPUs         int
	CPUModel     string
	SecureBoot   bool     // the firmware has keys and enforces Secure Boot, until it is told otherwise
	Keys         KeyStore // what it comes with, if SecureBoot
	Legacy       bool     // the firmware can boot as a BIOS does too
	StartsLegacy bool     // and does so until it is told otherwise
	BootTargets  []string // what a boot override may name besides "None"
}

// ErrGuestRunning is what PowerOff without hard gives if the guest was asked and did not go down in time.
var ErrGuestRunning = errors.New("the guest did not react to the power button")
