// Package demo shows the main job on one emulated machine, told stage by stage and timed: a Debian image is
// made, a lab with one machine and its BMC comes up, a server is started, the machine is enrolled, cleaned and
// deployed; the demo logs in over ssh with the key it put there, leaves a marker on the disk, undeploys the
// machine, and looks at the disk from outside whether partition table and marker are gone.
//
// It does what an operator would do: everything goes through the commands of the built program, which it runs
// and shows. It knows nothing of the rooms behind them, so what works here works by hand; it is neither a test
// helper nor a library. cmd/ingot calls it (`ingot lab demo`), and `make demo` that.
//
// It needs root, for the lab. When a stage fails it prints what the node and the server say of it, takes down
// what it started, and returns the error; the folder stays, with every log. With Options.Keep lab and server
// are left running, to go on by hand.
package demo
