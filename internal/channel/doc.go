// Package channel is what an installation by OS definition reads and says while it lasts, by HTTP, at
// http://169.254.169.254/ganeti/<version>/: its parameters, the scripts of its definition, what the machine is, and a pipe.
//
//	meta_data.json            GET   what the machine is
//	os/parameters.json        GET   {"name": ["value", "class"]}
//	os/parameters/<name>      GET   the bare value
//	os/scripts/<name>         GET   a script of the definition
//	os/package                GET   URL of the personalization package, where the machine applies it itself;
//	                                os/package/user and os/package/password if it needs them
//	read                      GET   what the other end said, the next write of it, once; 204 for nothing
//	write                     POST  says something to the other end, or how far the installation is
//
// The paths are those of Ganeti's design; docs/decisions/0068-the-channel.md says where this differs from what was built there. A
// version is "latest" or a date: the protocol as it was on that day.
//
// Channel holds one installation in memory and has two ends, Guest and Host: the agent serves the one to the confined script and the
// other to the trusted one. The metadata service serves the same paths to a machine that installs itself, from the store: a Source is
// what lies behind them, and Respond is the only code that knows the paths. What one end may see of another installation is nothing:
// a Source is of one.
//
// Everybody who asks is a stranger: paths are compared and never opened as files, bodies and what waits to be read are bounded,
// a progress is judged before it is believed, and private and secret values are taken out of its words. Nothing is logged here. Once the
// installation is over private and secret values, scripts and the pipe are gone, and so it is said (410); public values stay.
//
// Errors are faults; Gone makes the one for what was there and is no more.
package channel
