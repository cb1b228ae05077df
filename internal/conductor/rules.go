package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/rules"
	"ingot/internal/store"
)

// ruleStep is the step that runs the operator's inspection rules on what was read.
var ruleStep = step{name: "apply rules", class: repeatable, run: (*runner).applyRules, limit: 15 * time.Minute}

// applyRules runs the inspection rules. What they change is saved with the step, all or nothing; what they call is
// called before, and again if this process dies in between.
func (r *runner) applyRules(ctx context.Context, op *Op) (Outcome, error) {
	list, facts, err := r.ruleFacts(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if len(list) == 0 {
		return done, nil
	}
	res, err := rules.Apply(list, facts)
	if err != nil {
		return Outcome{}, err
	}
	if len(res.Applied) == 0 {
		r.event(op, "step", "INFO", fmt.Sprintf("None of the %d inspection rules fits.", len(list)))
		return done, nil
	}
	for _, call := range res.Calls {
		if err := r.call(ctx, call); err != nil {
			return Outcome{}, err
		}
	}
	for _, l := range res.Lines {
		r.log.Log(ctx, ruleLevel(l.Level), "an inspection rule says", "said", oneLine(l.Text))
	}
	op.Change(func(n *metal.Node) {
		for _, change := range res.Node {
			if err := change(n); err != nil { // it could be done on the row as it was read
				r.log.Warn("a change of an inspection rule no longer fits the node", "error", err)
			}
		}
	})
	op.Also(func(tx *store.Tx, n *metal.Node) error { return saveRuled(tx, n, facts, res) })
	r.event(op, "step", "INFO", "Inspection rules applied: "+strings.Join(res.Applied, ", ")+".")
	return done, nil
}

// ruleFacts reads the rules, those of the configuration after those of the API, and what they judge.
func (r *runner) ruleFacts(ctx context.Context, op *Op) (list []*metal.InspectionRule, f rules.Facts, err error) {
	f = rules.Facts{Node: op.Node, Masking: r.c.config.Inspect.MaskSecrets}
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		if list, err = tx.AllRules(); err != nil {
			return err
		}
		if list = append(list, r.c.config.Inspect.BuiltInRules...); len(list) == 0 {
			return nil
		}
		if f.Ports, err = tx.PortsOf(op.Node.ID); err != nil {
			return err
		}
		traits, err := tx.Traits(op.Node.ID)
		if err != nil {
			return err
		}
		f.Traits = traits[op.Node.ID]
		inv, err := tx.Inventory(op.Node)
		if err != nil {
			return err
		}
		return errors.Join(json.Unmarshal(inv.Inventory, &f.Inventory), json.Unmarshal(inv.Plugins, &f.Plugins))
	})
	return list, f, err
}

// saveRuled writes what rules changed beside the node itself.
func saveRuled(tx *store.Tx, n *metal.Node, facts rules.Facts, res rules.Result) error {
	now, err := tx.Now()
	if err != nil {
		return err
	}
	for _, p := range facts.Ports {
		changes := res.Ports[p.UUID]
		if len(changes) == 0 {
			continue
		}
		p, err := tx.Port(p.UUID)
		if fault.KindOf(err) == fault.NotFound {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		for _, change := range changes {
			_ = change(p) // it could be done on the row as it was read; another wrote to it since
		}
		p.UpdatedAt = now
		if err := tx.SavePort(p); err != nil {
			return err
		}
	}
	if res.Traits != nil {
		if err := tx.SetTraits(n.ID, res.Traits); err != nil {
			return err
		}
	}
	if res.Plugins == nil {
		return nil
	}
	inv, err := tx.Inventory(n)
	if err != nil {
		return err
	}
	plugins, err := json.Marshal(res.Plugins)
	if err != nil {
		return fmt.Errorf("write plugin data: %w", err)
	}
	return tx.SaveInventory(n.ID, inv.Inventory, plugins)
}

// call gets a URL for a rule; all that counts is that it is answered well. Neither headers nor the answer are logged.
func (r *runner) call(ctx context.Context, c rules.Call) error {
	client := &http.Client{Timeout: time.Duration(c.Timeout * float64(time.Second))}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = func(req *http.Request) (*url.URL, error) {
		if p := c.Proxies[req.URL.Scheme]; p != "" {
			return url.Parse(p)
		}
		return http.ProxyFromEnvironment(req)
	}
	client.Transport = transport
	defer client.CloseIdleConnections()
	wait := time.Duration(c.Backoff * float64(time.Second))
	for try := 0; ; try++ {
		again, err := callOnce(ctx, client, c)
		if err == nil {
			return nil
		}
		if !again || try == c.Retries {
			return fault.Wrap(fault.Invalid, err, "an inspection rule's call of %s failed: %s", hostOf(c.URL), ruleCause(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// callOnce tells whether it is worth another try.
func callOnce(ctx context.Context, client *http.Client, c rules.Call) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return false, err
	}
	for name, v := range c.Headers {
		req.Header.Set(name, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection ends well
	if res.StatusCode >= 400 {
		return res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500, fmt.Errorf("it answered %s", res.Status)
	}
	return false, nil
}

// ruleCause is the reason without the URL, which may hold a token.
func ruleCause(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err.Error()
	}
	return err.Error()
}

// hostOf is the part of a URL that can be told.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	return u.Scheme + "://" + u.Host
}

func ruleLevel(name string) slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "warning": slog.LevelWarn, "error": slog.LevelError, "critical": slog.LevelError}[name]
}
