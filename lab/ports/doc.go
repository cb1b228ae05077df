// Package ports finds TCP ports for servers that tests start as programs and must name in advance: in configuration
// files, in other servers' arguments, or to start a server again where it was. Who can listen on port 0 and ask does that
// instead. Tests and what runs programs beside each other use it.
//
// A port is given once in the life of a process, and to no other process that asks here meanwhile: it is held by a name
// in the kernel, not by listening. Ports are below those that the kernel gives to outgoing connections, so no connection
// takes one in the moment before the server does. Another program may, if it listens there on purpose.
package ports
