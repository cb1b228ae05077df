// Package osinstall runs the scripts of an OS definition on the machine that is installed: the agent's commands os.*.
//
// What a conductor hands over (agentapi.OSWork) is judged again here: the bundle must have the digest that it was asked for by,
// and what runs, and how, follows from its files and from whether it is trusted (osdef.Parts). The bundle is unpacked into a folder in
// memory, the scripts get the environment that osdef makes and nothing else, and where there are two parts both run at once: if either
// fails, the other is stopped. What a script's exit status says decides, and nothing else: a script that says how far it is, or that
// it is done, and then fails, has failed.
//
// A Runner starts scripts: agent/confine does, those that nobody vouches for in a cage. Scripts meet the control plane at
// 169.254.169.254, where this room serves what internal/channel answers, to the ends that run and for as long as they do.
//
// Private and secret values are known here while a command runs. What leaves the room (errors, results, progress, kept logs) is
// scrubbed of them in the forms that programs usually print, here, on the machine. When a command ends its folder is removed and the values are
// let go of.
//
// It chooses no disks (agent/steps gives them), writes no image (agent/disk did) and judges no trust. agent/steps calls it.
package osinstall
