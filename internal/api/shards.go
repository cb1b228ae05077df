package api

import (
	"net/http"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// listShards counts the nodes of each shard. Those in none count under the name "None", as upstream has it.
func (c *call) listShards() (answer, error) {
	found, err := c.s.Shards(c.r.Context())
	if err != nil {
		return answer{}, err
	}
	type shard struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}
	out := make([]shard, len(found))
	for i, s := range found {
		out[i] = shard{s.Name, s.Nodes}
		if s.Name == "" {
			out[i].Name = "None"
		}
	}
	return answer{status: http.StatusOK, json: map[string]any{"shards": out}}, nil
}

// networkEventKinds are what the network service may tell. Source: rest-api reference §15.
var networkEventKinds = map[string]bool{"network.bind_port": true, "network.unbind_port": true, "network.delete_port": true}

// networkEvents takes what the network service tells of ports, and logs it: nothing here waits for it.
func (c *call) networkEvents() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	if err := unexpected(body, "events"); err != nil {
		return answer{}, err
	}
	list, _ := body["events"].([]any)
	if len(list) == 0 {
		return answer{}, invalid("Schema error for events: 'events' must be a list of at least one event.")
	}
	for i, v := range list {
		e, ok := v.(map[string]any)
		if !ok {
			return answer{}, invalid("Schema error for events: event %d must be a JSON object.", i+1)
		}
		if err := checkNetworkEvent(e); err != nil {
			said, _ := fault.PublicOf(err)
			return answer{}, invalid("Schema error for events: event %d: %s", i+1, said)
		}
	}
	for _, v := range list {
		e, _ := v.(map[string]any)
		c.o.Log.Info("network event", "request", c.id, "event", e["event"], "port", e["port_id"], "mac", e["mac_address"], "status", clipped(e["status"]),
			"device", e["device_id"], "host", e["binding:host_id"], "vnic_type", clipped(e["binding:vnic_type"]))
	}
	return answer{status: http.StatusNoContent}, nil
}

func clipped(v any) string {
	s, _ := v.(string)
	return clip(s)
}

// checkNetworkEvent judges one event.
func checkNetworkEvent(e map[string]any) error {
	if err := unexpected(e, "event port_id mac_address status device_id binding:host_id binding:vnic_type"); err != nil {
		return err
	}
	for _, key := range strings.Fields("event port_id mac_address status") {
		if _, ok := e[key].(string); !ok {
			return invalid("%s must be a string.", key)
		}
	}
	for _, key := range strings.Fields("port_id device_id binding:host_id") {
		if s, ok := e[key].(string); e[key] != nil && (!ok || !wire.IsUUID(s)) {
			return invalid("Expected UUID for %s.", key)
		}
	}
	if _, ok := e["binding:vnic_type"].(string); e["binding:vnic_type"] != nil && !ok {
		return invalid("binding:vnic_type must be a string.")
	}
	kind, _ := e["event"].(string)
	mac, _ := e["mac_address"].(string)
	if !networkEventKinds[kind] {
		return invalid("%q is not a valid event: it must be network.bind_port, network.unbind_port or network.delete_port.", clip(kind))
	}
	if _, ok := wire.ParseMAC(mac); !ok {
		return invalid("Expected a MAC address for mac_address.")
	}
	return nil
}
