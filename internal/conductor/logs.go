package conductor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const (
	maxConsole  = 1 << 20 // bytes of a console that are kept
	maxAgentLog = 4 << 20 // bytes of an agent's own log that are taken out of its archive

	// maxScriptLogs are the bytes of what scripts said that are taken out of it: all that our agent keeps, which is of eight scripts 512 KiB
	// each and a few lines.
	maxScriptLogs = 5 << 20
)

// keepLogs keeps what can be had of a failed boot: the agent's log if it called, the console if the BMC
// keeps one. It is the first thing undone, while the machine still runs. A log that cannot be had is no
// more than that: nothing is left to be undone.
func (r *runner) keepLogs(ctx context.Context, op *Op) error {
	if r.c.config.CollectLogs == LogsNever {
		return nil
	}
	if op.Rec.OS != nil && op.hides() {
		return r.keepInstallLogs(ctx, op)
	}
	if op.Rec.Ask.Secrets != nil { // a tool may have printed one, and an archive cannot be searched for it
		r.event(op, "step", "INFO", "No logs were kept: the operation has secret values, and a log might repeat one.")
		return nil
	}
	stamp := logStamp()
	var errs []error
	if r.hw.Console != nil {
		data, err := r.hw.Console.ConsoleLog(ctx, op.Node, maxConsole)
		if fault.KindOf(err) != fault.NotSupported {
			errs = append(errs, err)
		}
		addLog(op, "console-"+stamp+".txt", data)
	}
	if c, err := r.agent(ctx, op); err == nil {
		defer c.Close()
		data, err := collectLogs(ctx, c)
		errs = append(errs, err)
		addLog(op, "agent-"+stamp+".tar.gz", data)
		addLog(op, scriptLogName(stamp), []byte(r.scrubbed(ctx, op, string(scriptLogs(data)))))
		addLog(op, "agent-"+stamp+".log", agentLog(data)) // the newest: what a person wants first
	}
	if err := errors.Join(errs...); err != nil {
		r.log.Warn("logs cannot be collected", "error", err)
		r.event(op, "error", "ERROR", fmt.Sprintf("Logs could not be collected: %s", sentence(err)))
	}
	return nil
}

// logStamp is when a log was kept, in its name.
func logStamp() string { return time.Now().UTC().Format("20060102T150405Z") }

func addLog(op *Op, name string, data []byte) {
	if len(data) == 0 {
		return
	}
	id := op.row.UUID
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.AddLog(n, id, name, data) })
}

// collectLogs fetches the agent's log archive (tar.gz).
func collectLogs(ctx context.Context, c *agentapi.Client) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	res, err := c.Run(ctx, "log.collect_system_logs", struct{}{}, true)
	if err != nil {
		return nil, err
	}
	var body struct {
		Logs string `json:"system_logs"`
	}
	if err := json.Unmarshal(res.CommandResult, &body); err != nil {
		return nil, fmt.Errorf("agent's logs: %w", err)
	}
	data, err := base64.StdEncoding.DecodeString(body.Logs)
	if err != nil {
		return nil, fmt.Errorf("agent's logs: %w", err)
	}
	return data, nil
}

// agentLog takes the agent's own log out of its archive: our agent's file, or the journal of upstream's. A
// broken archive gives nothing; the archive itself is kept.
func agentLog(archive []byte) (text []byte) {
	eachLog(archive, func(name string, r io.Reader) (more bool) {
		if name != "agent.log" && name != "journal" {
			return true
		}
		text, _ = io.ReadAll(io.LimitReader(r, maxAgentLog)) // the readable part is better than none
		return false
	})
	return text
}

// scriptLogs takes out of it what scripts of OS definitions said, one after another. The agent has scrubbed it, and bounded it. What is
// beyond that comes of an agent that is not ours, and is left away: whole files, for a part of a value would be known to nobody.
func scriptLogs(archive []byte) []byte {
	texts, room, lost := map[string][]byte{}, maxScriptLogs, 0
	eachLog(archive, func(name string, r io.Reader) (more bool) {
		if !strings.HasPrefix(name, agentapi.OSLogPrefix) {
			return true
		}
		text, err := io.ReadAll(io.LimitReader(r, int64(room)+1))
		if err != nil || len(text) > room {
			lost++
			return true
		}
		texts[name] = text
		room -= len(text)
		return true
	})
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		out = append(out, texts[name]...)
	}
	if lost > 0 {
		out = fmt.Appendf(out, "(%d files are left out: they are cut off, or too large)\n", lost)
	}
	return out
}

// eachLog reads an archive until it breaks, or visit has what it wants.
func eachLog(archive []byte, visit func(name string, r io.Reader) (more bool)) {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return
	}
	t := tar.NewReader(io.LimitReader(z, 8*maxAgentLog))
	for {
		h, err := t.Next()
		if err != nil || !visit(path.Base(h.Name), t) {
			return
		}
	}
}
