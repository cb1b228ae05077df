// Package osdef is what an OS definition is: a small tree of files, in the form that Ganeti gave it, whose scripts install an
// operating system on a machine's disks.
//
// Read makes a Bundle of a tar stream, FromFS one of a folder. A bundle has regular files only, in one canonical form, so that
// the same files have the same Digest wherever they come from; trust is bound to that digest. Definition reads what the
// files say: API versions, variants, parameters, and which scripts there are. Parameters are in three classes (Classes) that
// never share a name, and Environment makes what a script finds in its environment. Rules and names are those of Ganeti's
// ganeti-os-interface(7); docs/decisions/0066-os-definitions.md and 0067-classes-of-parameters.md say where we differ.
//
// All of this is strangers' bytes: what is read is bounded in size, number, depth and names before it is kept, whatever leads out of
// the tree is refused, and nothing is ever run or unpacked here. Whoever gives the reader bounds its time. The bundle is
// kept by store, the rules of who may do what are ops', and scripts run on the machine that is installed, nowhere else.
//
// Errors are fault.Invalid, with the name of the file that is wrong, and fault.TooLarge. None holds a parameter's value.
package osdef
