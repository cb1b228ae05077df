// Package signing signs what UEFI firmware starts, and says who signed it: boot loaders, kernels with an EFI stub and unified
// kernel images, all of them PE files, by Microsoft's Authenticode.
//
// It is for the command "ingot boot", and for tests that need a loader of their own. It is pure: bytes in, bytes out. It is not
// for keys in a machine's firmware (the driver enrols those) and it decides nothing about trust: it tells whether a
// certificate's key made a signature, not whether a firmware would accept it.
//
// The layout of a PE file is read here, with bounds, and in the order in which EDK II hashes it; what that order would leave out
// of the hash is refused. The signature itself is PKCS #7, by github.com/foxboron/go-uefi.
//
// Sources: Microsoft, "Windows Authenticode Portable Executable Signature Format"; Microsoft, "PE Format"; EDK II,
// SecurityPkg/Library/DxeImageVerificationLib, HashPeImage.
package signing
