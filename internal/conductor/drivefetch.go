package conductor

import (
	"context"
	"encoding/base64"
	"io"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/source"
	"ingot/internal/store"
)

// driveCopies is what a config drive takes while it is made: the text as it was given, the file system, its compressed form,
// base64, and the record that is sealed with it.
const driveCopies = 6

// driveLimit is how long the config drive may take: a minute, and the time that it may wait for memory.
func driveLimit(c *Config) time.Duration { return time.Minute + c.Memory.longest() }

// configDrive is buildConfigDrive once there is the memory for it.
func (r *runner) configDrive(ctx context.Context, op *Op) (Outcome, error) {
	var size int64
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		size, err = tx.ConfigDriveSize(op.Node)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return r.withMemory(op, "building the config drive", driveCopies*size, func() (Outcome, error) { return r.buildConfigDrive(ctx, op) })
}

// fetchDrive gets a config drive that is at a URL, once: what the machine is given and what is served are of one answer.
func (r *runner) fetchDrive(ctx context.Context, op *Op, at string) (Outcome, error) {
	body, err := source.Open(ctx, []string{at}, r.c.origins.Rules())
	if err != nil {
		return Outcome{}, err
	}
	defer body.Close()
	size := body.Size()
	if size < 0 || size > agentapi.MaxConfigDrive {
		size = agentapi.MaxConfigDrive
	}
	return r.withMemory(op, "fetching the config drive", driveCopies*size, func() (Outcome, error) {
		text, err := driveText(body)
		if err != nil {
			return Outcome{}, err
		}
		return r.prepareInstance(ctx, op, text)
	})
}

// driveText gives a config drive as base64, which it is already, or as a file system.
func driveText(body *source.Body) (string, error) {
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
