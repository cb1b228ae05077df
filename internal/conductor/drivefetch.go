package conductor

import (
	"context"
	"encoding/base64"
	"io"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/source"
)

// fetchDrive gets a config drive that is at a URL, for a machine that must not: it is base64 there, or a file system.
func fetchDrive(ctx context.Context, at string) (string, error) {
	body, err := source.Open(ctx, []string{at}, source.Options{})
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, agentapi.MaxConfigDrive+1))
	if err != nil {
		return "", err
	}
	text := string(b)
	if len(b) <= agentapi.MaxConfigDrive && !base64Text.Match(b) {
		text = base64.StdEncoding.EncodeToString(b)
	}
	if len(text) > agentapi.MaxConfigDrive {
		return "", fault.New(fault.TooLarge, "The config drive at %s is larger than %d MiB of base64.", body.URL(), agentapi.MaxConfigDrive>>20)
	}
	return text, nil
}
