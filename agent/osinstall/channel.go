package osinstall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"ingot/internal/agentapi"
	"ingot/internal/channel"
	"ingot/internal/osdef"
)

// served is the channel while scripts run: its guest's end in the network of the confined script, its host's where trusted ones find
// it.
type served struct {
	guest Network // nil: no script is confined
}

// network is what a confined script is put on.
func (s *served) network() Network {
	if s == nil {
		return nil
	}
	return s.guest
}

// serve serves the ends that this action's parts need. verify has no channel: it judges parameters, which it has.
func (s *session) serve(ctx context.Context, bundle *osdef.Bundle) error {
	if s.action == osdef.Verify {
		return nil
	}
	scripts, err := channel.Scripts(bundle)
	if err != nil {
		return err
	}
	c := channel.New(channel.Content{MetaData: s.work.MetaData, Parameters: s.classes, Scripts: scripts,
		OnProgress: func(p agentapi.OSProgress) { s.progress.say(p) }})
	s.undo = append(s.undo, func() error { c.End(); return nil })
	s.served = &served{}
	// Two parts that are both trusted, since that was waived for one, are both at the host's end.
	if slices.ContainsFunc(s.parts, s.confined) {
		err = s.serveGuest(ctx, c)
	}
	if err == nil && slices.ContainsFunc(s.parts, func(p osdef.Part) bool { return !s.confined(p) }) {
		err = s.serveHost(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("serve the channel of the installation: %w", err)
	}
	return nil
}

func (s *session) serveGuest(ctx context.Context, c *channel.Channel) error {
	network, err := s.installer.Runner.Network()
	if err != nil {
		return err
	}
	s.undo = append(s.undo, network.Close)
	s.served.guest = network
	l, err := network.Listen("tcp", channel.Address)
	if err != nil {
		return err
	}
	s.answer(ctx, l, c, channel.Guest)
	return nil
}

func (s *session) serveHost(ctx context.Context, c *channel.Channel) error {
	if s.installer.Host == nil {
		return nil
	}
	l, err := s.installer.Host(ctx)
	if err != nil {
		return err
	}
	s.answer(ctx, l, c, channel.Host)
	return nil
}

// answer serves an end until the session ends.
func (s *session) answer(ctx context.Context, l net.Listener, c *channel.Channel, end channel.End) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the scripts, and no longer
	var ended sync.WaitGroup
	var err error
	ended.Go(func() { err = channel.Serve(ctx, l, c.Handler(end)) })
	s.undo = append(s.undo, func() error {
		stop()
		ended.Wait()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	})
}
