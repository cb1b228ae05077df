package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/peer"
	"ingot/internal/secret"
)

// values fetches secret values for the conductor: from this process's own memory, or from the server that took
// the request.
type values struct {
	self    string
	own     *courier.Courier // nil: this process keeps none
	peer    *peer.Peer       // nil: it has no certificate
	members *members
	log     *slog.Logger
}

// StepSecret is the value called name, for a step that is about to be sent.
func (v *values) StepSecret(ctx context.Context, ref *metal.SecretRef, operation, name string) (secret.Secret, error) {
	var got map[string]secret.Secret
	var err error
	switch {
	case v.own != nil && ref.Server == v.self:
		got, err = v.own.Fetch(ref.Handle, operation, []string{name})
	case v.peer == nil:
		err = fault.New(fault.NotFound, "This server has no certificate to fetch them with.")
	default:
		var from peer.Server
		if from, err = v.at(ref); err == nil {
			got, err = v.peer.Fetch(ctx, from, ref.Handle, operation, []string{name})
		}
	}
	if err != nil {
		return secret.Secret{}, gone(ref, err)
	}
	return got[name], nil
}

// Release tells whoever has the values that the operation ended. That it could not be told is no failure: the
// server that keeps them looks at the operation itself.
func (v *values) Release(ctx context.Context, ref *metal.SecretRef, operation string) {
	if v.own != nil && ref.Server == v.self {
		v.own.Release(operation)
		return
	}
	from, err := v.at(ref)
	if err == nil && v.peer != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = v.peer.Release(ctx, from, ref.Handle, operation)
	}
	if err != nil {
		v.log.Info("secret values could not be released; their server does it by itself", "server", ref.Server, "op", operation, "error", err)
	}
}

func (v *values) at(ref *metal.SecretRef) (peer.Server, error) {
	s, ok := v.members.find(ref.Server)
	if !ok || s.PeerURL == "" {
		return peer.Server{}, fault.New(fault.Unavailable, "Server %s is not running, or has no peer listener.", ref.Server)
	}
	return peer.Server{Name: s.Name, URL: s.PeerURL}, nil
}

// gone says which values must be given again. One that may come back is tried again before that.
func gone(ref *metal.SecretRef, cause error) error {
	kind := fault.Conflict
	if fault.KindOf(cause) == fault.Unavailable {
		kind = fault.Unavailable
	}
	why := "it keeps them no more"
	if kind == fault.Unavailable {
		why = "it cannot be reached"
	}
	return fault.Wrap(kind, cause, "the secret values %s cannot be had from server %s (%s): ask again and give them again",
		strings.Join(ref.Names, ", "), ref.Server, why)
}

// keeper is how this process takes secret values.
func (s *server) keeper() ops.Keeper {
	k := ops.Keeper{Courier: s.values, Server: s.name}
	switch {
	case s.roles.has(roleConductor) && database(s.f, s.c).Empty(): // nobody else works on operations
	case s.peer == nil || s.doors.peer == nil:
		k.Refusal = "This server takes no secret values, because conductors in other processes could not fetch them: " +
			"give it a certificate (ingot peer init, or ingot peer join) and --peer-listen."
	}
	return k
}
