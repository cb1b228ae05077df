// Package peer is mutual TLS between our own servers, and what they ask of each other over it: secret values
// by handle (courier), certificates (join, renew; carried to boot hosts, which ask nobody), files pushed to boot hosts.
//
// A cluster has one certificate authority, made by "ingot peer init" on the server that will issue. Every
// certificate names one server and its roles in URIs (ingot://NAME/ROLE), lives for days, and is renewed by
// its server in the second half of its life, with a new key, without a restart. A new server is invited with a
// token: a certificate that lives for an hour, works once and can do nothing but join. The new server makes its
// own key; no key leaves its host.
//
// Nobody without a good certificate gets a byte of HTTP: TLS 1.3 only, both sides are verified in the
// handshake, and each request is checked again for the role it needs, for expiry and against the deny list, so
// that a connection does not outlive what it was opened with. A server that was revoked is refused as soon as
// the others have read the list, which is seconds; its certificate dies of age in any case.
//
// It is not for clients of the REST API, agents or BMCs, and it decides nothing about operations. cmd builds it;
// a single process with every role has none of it.
package peer
