// Package seed is what an instance reads at its first boot: meta data, network data, user data and vendor data,
// in the two layouts that cloud-init and others know, OpenStack's and EC2's.
//
// A Seed is made once: by Render from parts, by FromObject from the configdrive object of Ironic's API, by
// FromDrive from an image that somebody else made. It then gives the same bytes everywhere. ISO, VFAT and Drive make a config
// drive of it; Get answers the paths of the metadata service, which the command line and boot hosts ask, too;
// Encode and Decode carry it through a database and to other hosts. Rendering is pure and deterministic: the
// same input gives the same bytes, so a random seed for the instance is an input.
//
// Network.Data writes network_data.json for a machine of which one knows the NICs, and CheckNetworkData judges one that
// was given.
//
// A seed may hold passwords, so it keeps its files where fmt and slog cannot reach them. This room fetches
// nothing (vendordata does), writes no disk (agent/disk does), knows no request and no caller (metadata does).
// The password that an instance posts is not part of a seed: the metadata service adds what it has with WithPassword.
//
// Errors are fault.Invalid for what a user gave wrongly, fault.TooLarge for a drive over MaxDrive, and
// fault.NotFound for a path that the instance does not have.
package seed
