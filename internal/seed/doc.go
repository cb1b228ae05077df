// Package seed renders what an instance reads at its first boot: meta data, network data, user data and
// vendor data, in the layout of OpenStack's metadata that cloud-init reads.
//
// A Seed is rendered once (Render from parts, FromObject from the configdrive object of Ironic's API) and
// then serves the same bytes everywhere: ISO and Drive make the config drive of it, the metadata service
// serves its Files. Rendering is pure and deterministic: the same input gives the same bytes, so a
// random seed for the instance is an input, too.
//
// User data may hold passwords, so a Seed keeps its files where fmt and slog cannot reach them. This
// room fetches nothing (vendordata does), writes no disk (agent/disk does) and does not guess networks.
//
// Conductor and metadata service call it. Errors are fault.Invalid for what a user gave wrongly and
// fault.TooLarge for a drive over MaxDrive.
package seed
