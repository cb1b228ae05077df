package steps

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

func (s *Steps) sync(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	s.Sync()
	return nil, nil
}

// part brings everything to the disks and gives the answer to the caller its time.
func (s *Steps) part(ctx context.Context) {
	gone := time.After(s.Parting)
	s.Sync()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

func (s *Steps) powerOff(ctx context.Context, _ json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	s.Log.Info("powering off")
	s.part(ctx)
	if err := s.PowerOff(); err != nil {
		return nil, server.Error("SystemRebootError", "power off: %v", err)
	}
	return nil, nil
}

func (s *Steps) reboot(ctx context.Context, _ json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	s.Log.Info("rebooting")
	s.part(ctx)
	if err := s.Reboot(); err != nil {
		return nil, server.Error("SystemRebootError", "reboot: %v", err)
	}
	return nil, nil
}

func (s *Steps) lockdown(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	s.Lockdown()
	return nil, nil
}

func (s *Steps) collectLogs(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	archive, err := s.Logs(s.Hide)
	if err != nil {
		return nil, err
	}
	return map[string]string{"system_logs": base64.StdEncoding.EncodeToString(archive)}, nil
}

func (s *Steps) hardwareInfo(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	return s.Machine.Collect()
}
