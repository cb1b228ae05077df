// Package plugin runs programs that an operator put into the ramdisk, and that offer clean, deploy and service
// steps of their own: what upstream calls hardware managers. The protocol is docs/guides/agent-plugins.md.
//
// A plugin is trusted as much as the ramdisk it is in: it runs as root. What it says is not: its output is
// bounded and checked, its time and memory are limited, and when it ends nothing of its process group goes on.
// What a plugin is given goes through its standard input, nothing through arguments and environment, where
// others could read it.
//
// The agent's steps call it. It decides nothing about when a step is run.
package plugin
