// Package identity tells who sent a request.
//
// There are four ways (auth_strategy): keystone asks OpenStack's identity service about a token, http_basic compares with
// an htpasswd file, local with our own file of users, roles and projects, and noauth asks nobody, which is no code here
// but a server without a Door. A Door takes a request and gives the policy.Caller that the rules are judged with.
// What a caller may do is not this room's: that is package policy.
//
// Every Door is safe for concurrent use and bounded: what it remembers has a limit and a time, a slow check (bcrypt, a
// question to Keystone) is made once however many requests wait for it, and strangers who guess wait for each other, not
// in front of those who know. A file that changes is read again with the next request; one that became wrong is told to
// the log and what was read before stays in force.
//
// Refusals are faults: fault.Unauthenticated where other credentials would help, fault.Invalid where the header cannot be
// read, fault.Unavailable where nobody can say now. No message and no log line holds a password or a token. api asks,
// cmd/ingot builds, cli edits the local file.
package identity
