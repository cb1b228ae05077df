// Package steps is what a conductor can ask this agent to do: the commands of the agent protocol reference
// §7 that a deployment, a cleaning and a log collection need, and the steps behind them.
//
// It joins the rooms that know how (inventory, erase, and the functions in Config) to the shapes of the
// wire, and keeps the one thing that commands share: the node they were last told about. It serves no
// HTTP (agent/server does), chooses no disk by itself (agentapi's root device hints do), and starts
// nothing: cmd/ingot-agent builds it.
package steps
