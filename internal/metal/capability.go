package metal

import (
	"slices"
	"strings"
)

// SetCapability sets one of the node's capabilities, in whichever of Ironic's two forms they are (an object, or
// "key:value,…"); the others stay as they are.
func (n *Node) SetCapability(key, value string) {
	if n.Properties == nil {
		n.Properties = map[string]any{}
	}
	if m, ok := n.Properties["capabilities"].(map[string]any); ok {
		m[key] = value
		return
	}
	n.Properties["capabilities"] = strings.Join(append(n.otherCapabilities(key), key+":"+value), ",")
}

// DropCapability takes one away; one that is not there is as good as taken.
func (n *Node) DropCapability(key string) {
	switch c := n.Properties["capabilities"].(type) {
	case map[string]any:
		delete(c, key)
	case string:
		n.Properties["capabilities"] = strings.Join(n.otherCapabilities(key), ",")
	}
}

// otherCapabilities are those of the form "key:value" without one.
func (n *Node) otherCapabilities(key string) []string {
	text, _ := n.Properties["capabilities"].(string)
	return slices.DeleteFunc(strings.Split(text, ","), func(p string) bool {
		name, _, _ := strings.Cut(p, ":")
		return strings.TrimSpace(name) == key || strings.TrimSpace(p) == ""
	})
}
