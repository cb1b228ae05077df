package conductor

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// maxScriptLog bounds what is kept of what scripts said, bytes.
const maxScriptLog = 1 << 20

// osSecrets are the values that nothing of an installation may repeat: the private ones of the node and its definition. Those that are
// stored nowhere are the operation's own.
func (r *runner) osSecrets(ctx context.Context, op *Op) (values []string, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		i, err := tx.OSInstall(op.Node)
		if err != nil || i == nil {
			return err
		}
		if i.DefinitionID == 0 {
			values = flat(private(i, nil))
			return nil
		}
		d, err := tx.OSDefinitionByID(i.DefinitionID)
		if err == nil {
			values = flat(private(i, d))
		}
		return err
	})
	return values, err
}

// flat are the values of all names.
func flat(m map[string][]string) (out []string) {
	for _, values := range m {
		out = append(out, values...)
	}
	return out
}

// hides tells whether the operation has values that no log may repeat.
func (o *Op) hides() bool {
	return o.Rec.Ask.Secrets != nil || o.Rec.OS != nil && o.Rec.OS.Private
}

// keepScriptLogs keeps what scripts said last, scrubbed once more. It came with their result: all that they said is among the agent's
// logs, if it can be asked for those (scriptLogs).
func (r *runner) keepScriptLogs(ctx context.Context, op *Op, res agentapi.OSResult, wanted bool) {
	var text strings.Builder
	for _, s := range res.Scripts {
		fmt.Fprintf(&text, "# %s\n", scriptEnd(s))
		for _, line := range s.Lines {
			fmt.Fprintln(&text, line)
		}
	}
	if !wanted || text.Len() == 0 || text.Len() > maxScriptLog {
		return
	}
	id, name, data := op.row.UUID, "os-install-last-"+logStamp()+".log", []byte(r.scrubbed(ctx, op, text.String()))
	op.noted = append(op.noted, func(tx *store.Tx, n *metal.Node) error { return tx.AddLog(n, id, name, data) }) // also if the step fails
}

// told is what became of an installation, a sentence or two.
func (r *runner) told(ctx context.Context, op *Op, res agentapi.OSResult) string {
	var parts []string
	for _, s := range res.Scripts {
		parts = append(parts, scriptEnd(s))
	}
	if p := res.Package; p != nil {
		parts = append(parts, fmt.Sprintf("the personalization package (SHA-256 %s) left %d files, %d bytes", shortened(p.SHA256, maxStage), p.Files, p.Bytes))
	}
	if len(parts) == 0 {
		return ""
	}
	return r.scrubbed(ctx, op, capital(strings.Join(parts, "; "))+".")
}

func scriptEnd(s agentapi.OSScript) string {
	how := "trusted"
	if s.Confined {
		how = "confined"
	}
	return fmt.Sprintf("%s (%s) ended with %d after %.1f s", shortened(s.Name, maxStage), how, s.Code, s.Seconds)
}

// scriptLogName names all that scripts said; what came with their result has another, for it may be kept in the same second.
func scriptLogName(stamp string) string { return "os-install-" + stamp + ".log" }

// keepInstallLogs is keepLogs for an installation that hides values: the agent's own log, and what scripts said, as texts, scrubbed. Its
// archive and the console cannot be searched for them whole, and are not kept.
func (r *runner) keepInstallLogs(ctx context.Context, op *Op) error {
	c, err := r.agent(ctx, op)
	if err != nil {
		return nil //nolint:nilerr // one that has not called has no log
	}
	defer c.Close()
	archive, err := collectLogs(ctx, c)
	if err != nil {
		r.log.Warn("logs cannot be collected", "error", err)
		r.event(op, "error", "ERROR", "Logs could not be collected: "+r.scrubbed(ctx, op, sentence(err)))
		return nil
	}
	stamp := logStamp()
	for _, l := range []struct {
		name string
		text []byte
	}{{scriptLogName(stamp), scriptLogs(archive)}, {"agent-" + stamp + ".log", agentLog(archive)}} {
		if len(l.text) > 0 {
			addLog(op, l.name, []byte(r.scrubbed(ctx, op, string(l.text))))
		}
	}
	return nil
}
