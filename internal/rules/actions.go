package rules

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"ingot/internal/metal"
)

// levels a rule may log at.
var levels = []string{"debug", "info", "warning", "error", "critical"}

// act runs the actions of a rule, in order, each on what the one before it left.
func (r *run) act(list []metal.RuleOp, inventory map[string]any, mask bool) error {
	for _, o := range list {
		scopes := []names{r.names}
		if items := r.items(o.Loop); items != nil {
			scopes = scopes[:0]
			for _, item := range items {
				scopes = append(scopes, r.with(item))
			}
		}
		for _, scope := range scopes {
			if err := r.one(op(o), scope); err != nil {
				return fmt.Errorf("action %.40s: %w", o.Op, err)
			}
		}
		r.names = r.facts(inventory, mask)
	}
	return nil
}

func (r *run) one(o op, n names) error {
	if err := r.count(); err != nil {
		return err
	}
	named, err := o.named(actionArgs[o.Op])
	if err != nil {
		return err
	}
	for key, v := range named {
		named[key] = n.fill(v)
	}
	return deeds[o.Op](r, given(named))
}

// given is the arguments of an action, filled in.
type given map[string]any

func (g given) text(key string) string {
	if g[key] == nil {
		return ""
	}
	return render(g[key])
}

// deeds are the actions.
var deeds = map[string]func(*run, given) error{
	"fail": func(_ *run, g given) error { return errors.New(g.text("msg")) },
	"log":  (*run).log,

	"set-attribute":    func(r *run, g given) error { return r.changeNode(g, setting(g["value"])) },
	"extend-attribute": func(r *run, g given) error { return r.changeNode(g, extending(g["value"], truthy(g["unique"]))) },
	"del-attribute":    func(r *run, g given) error { return r.changeNode(g, deleting) },

	"set-port-attribute":    func(r *run, g given) error { return r.changePort(g, setting(g["value"])) },
	"extend-port-attribute": func(r *run, g given) error { return r.changePort(g, extending(g["value"], truthy(g["unique"]))) },
	"del-port-attribute":    func(r *run, g given) error { return r.changePort(g, deleting) },

	"set-plugin-data":    func(r *run, g given) error { return r.changePlugins(g, setting(g["value"])) },
	"extend-plugin-data": func(r *run, g given) error { return r.changePlugins(g, extending(g["value"], truthy(g["unique"]))) },
	"unset-plugin-data": func(r *run, g given) error {
		_ = r.changePlugins(g, deleting) // what is not there need not be taken away; upstream logs it
		return nil
	},

	"set-capability":   func(r *run, g given) error { return r.capability(g, true) },
	"unset-capability": func(r *run, g given) error { return r.capability(g, false) },
	"add-trait":        (*run).addTrait,
	"remove-trait":     (*run).removeTrait,
	"api-call":         (*run).call,
}

func (r *run) log(g given) error {
	level := strings.ToLower(g.text("level"))
	if level == "" {
		level = "info"
	}
	if !slices.Contains(levels, level) {
		return fmt.Errorf("level must be one of %s", strings.Join(levels, ", "))
	}
	if len(r.out.Lines) == maxLines {
		return fmt.Errorf("the rules log more than %d lines for one inspection", maxLines)
	}
	r.out.Lines = append(r.out.Lines, Line{Level: level, Text: g.text("msg")})
	return nil
}

func (r *run) changeNode(g given, how edit) error {
	path := g.text("path")
	if err := knownRoot(nodeRoots, path, "node"); err != nil {
		return err
	}
	change := func(n *metal.Node) error { return edited(nodeRoots, n, path, how) }
	r.out.Node = append(r.out.Node, change)
	return change(r.node)
}

// changePort finds the port by its UUID, name or MAC address: its UUID is seldom known to a rule.
func (r *run) changePort(g given, how edit) error {
	id, path := g.text("port_id"), g.text("path")
	if err := knownRoot(portRoots, path, "port"); err != nil {
		return err
	}
	i := slices.IndexFunc(r.ports, func(p *metal.Port) bool {
		return p.UUID == id || id != "" && p.Name == id || strings.EqualFold(p.Address, id)
	})
	if i < 0 {
		return fmt.Errorf("the node has no port %.60q", id)
	}
	change := func(p *metal.Port) error { return edited(portRoots, p, path, how) }
	p := r.ports[i]
	r.out.Ports[p.UUID] = append(r.out.Ports[p.UUID], change)
	return change(p)
}

func (r *run) changePlugins(g given, how edit) error {
	if err := how(r.plugin, parts(g.text("path"))); err != nil {
		return err
	}
	r.out.Plugins = r.plugin
	return nil
}

func (r *run) capability(g given, set bool) error {
	name, value := g.text("name"), g.text("value")
	if name == "" || strings.ContainsAny(name+value, ",\n") || strings.Contains(name, ":") {
		return fmt.Errorf("%.60q cannot be a capability: no commas, and no colon in its name", name)
	}
	change := func(n *metal.Node) error {
		if set {
			n.SetCapability(name, value)
		} else {
			n.DropCapability(name)
		}
		return nil
	}
	r.out.Node = append(r.out.Node, change)
	return change(r.node)
}

func (r *run) addTrait(g given) error {
	name := g.text("name")
	switch {
	case !metal.IsTrait(name):
		return fmt.Errorf("%.60q is not a trait", name)
	case slices.Contains(r.traits, name):
		return nil
	case len(r.traits) == metal.MaxTraits:
		return fmt.Errorf("the node has %d traits already", metal.MaxTraits)
	}
	r.traits = append(r.traits, name)
	r.out.Traits = slices.Clone(r.traits)
	return nil
}

func (r *run) removeTrait(g given) error {
	name := g.text("name")
	r.traits = slices.DeleteFunc(r.traits, func(t string) bool { return t == name })
	r.out.Traits = append([]string{}, r.traits...)
	return nil
}

func (r *run) call(g given) error {
	c := Call{URL: g.text("url"), Timeout: 5, Retries: 3, Backoff: 0.3}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url must be of http or https, with a host")
	}
	for key, to := range map[string]*float64{"timeout": &c.Timeout, "backoff_factor": &c.Backoff} {
		if err := g.between(key, to, 60); err != nil {
			return err
		}
	}
	retries := float64(c.Retries)
	if err := g.between("retries", &retries, 10); err != nil {
		return err
	}
	c.Retries = int(retries)
	if c.Timeout == 0 {
		return errors.New("timeout must be more than 0")
	}
	for key, to := range map[string]*map[string]string{"headers": &c.Headers, "proxies": &c.Proxies} {
		if *to, err = g.texts(key); err != nil {
			return err
		}
	}
	if len(r.out.Calls) == maxCalls {
		return fmt.Errorf("the rules make more than %d calls for one inspection", maxCalls)
	}
	r.out.Calls = append(r.out.Calls, c)
	return nil
}

func (g given) between(key string, to *float64, most float64) error {
	if g[key] == nil {
		return nil
	}
	f, ok := number(g[key])
	if !ok || f < 0 || f > most {
		return fmt.Errorf("%s must be a number from 0 to %v", key, most)
	}
	*to = f
	return nil
}

func (g given) texts(key string) (map[string]string, error) {
	if g[key] == nil {
		return nil, nil
	}
	m, ok := g[key].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s must be an object of strings", key)
	}
	out := make(map[string]string, len(m))
	for name, v := range m {
		out[name] = render(v)
	}
	return out, nil
}
