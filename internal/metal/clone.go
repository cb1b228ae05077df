package metal

import "maps"

// Clone is a copy that shares nothing that can be changed.
func (n *Node) Clone() *Node {
	c := *n
	for _, m := range []*map[string]any{&c.Properties, &c.Extra, &c.InternalInfo, &c.NetworkData, &c.CleanStep, &c.DeployStep, &c.ServiceStep} {
		*m = cloneMap(*m)
	}
	c.Interfaces = maps.Clone(n.Interfaces)
	c.AutomatedClean, c.SecureBoot = cloneBool(n.AutomatedClean), cloneBool(n.SecureBoot)
	return &c
}

// Clone is a copy that shares nothing that can be changed.
func (p *Port) Clone() *Port {
	c := *p
	for _, m := range []*map[string]any{&c.Extra, &c.InternalInfo, &c.LocalLinkConnection} {
		*m = cloneMap(*m)
	}
	return &c
}

func cloneBool(b *bool) *bool {
	if b == nil {
		return nil
	}
	v := *b
	return &v
}

func cloneMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for key, v := range m {
		out[key] = CloneValue(v)
	}
	return out
}

// CloneValue copies JSON as it is decoded: objects and lists at any depth.
func CloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneMap(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = CloneValue(v[i])
		}
		return out
	}
	return v
}
