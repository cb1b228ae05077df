package ops

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/store"
)

// Server is one of our own servers, as its last sign of life tells.
type Server = store.Server

// Servers lists all servers by name, dead ones too.
func (s *Service) Servers(ctx context.Context) ([]Server, error) {
	var out []Server
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		out, err = tx.Servers(s.config.ConductorAliveLimit)
		return err
	})
	return out, err
}

// RevokeServer makes all other servers refuse what was certified for this name until now. It need not be
// running, or known.
func (s *Service) RevokeServer(ctx context.Context, c Caller, name string) error {
	if name == "" || len(name) > 255 {
		return fault.New(fault.Invalid, "The name of a server is needed.")
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.DenyPeer(name, c.who()) })
	if err == nil {
		s.log.Info("server revoked", "server", name, "who", c.who(), "request", c.RequestID)
	}
	return err
}
