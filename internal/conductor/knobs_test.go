package conductor

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// cleaned runs a cleaning under a configuration and gives the world after it.
func cleaned(t *testing.T, silent bool, set func(*Config)) *world {
	t.Helper()
	w := newWorld(t)
	w.node.ProvisionState, w.silent = metal.Manageable, silent
	w.node.InternalInfo = map[string]any{"disk_erasure_concurrency": 7}
	w.save()
	w.ask(metal.PlanClean, metal.EventProvide, "{}")
	c := w.conductor("c1", nil)
	if silent {
		c.config.CleanCallbackLimit = 1
	}
	set(&c.config)
	w.run(c)
	return w
}

func (w *world) logs() (names []string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		logs, err := tx.Logs(w.node)
		for _, l := range logs {
			names = append(names, l.Name)
		}
		return err
	})
	return names
}

func TestAgentsAreToldHowToErase(t *testing.T) { onEach(t, testAgentsAreToldHowToErase) }

func testAgentsAreToldHowToErase(t *testing.T) {
	t.Parallel()
	w := cleaned(t, false, func(c *Config) { c.Erasure.Iterations, c.Erasure.ATA, c.Erasure.SkipReadOnly = 3, false, true })
	for name, want := range map[string]any{"agent_erase_devices_iterations": 3.0, "agent_erase_devices_zeroize": true,
		"agent_enable_ata_secure_erase": false, "agent_enable_nvme_secure_erase": true, "agent_continue_if_secure_erase_failed": false,
		"agent_erase_skip_read_only": true, "disk_erasure_concurrency": 7.0} { // the node's own word wins
		if w.told[name] != want {
			t.Errorf("%s is %v, want %v", name, w.told[name], want)
		}
	}
	n, _ := w.state()
	if _, kept := n.InternalInfo["agent_erase_devices_iterations"]; kept {
		t.Error("the operator's choices were written into the node")
	}
}

func TestLogsAreKeptAsConfigured(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		when   string
		silent bool // the machine never calls back: the cleaning fails
		agent  bool // an agent's log is kept
	}{
		{LogsAlways, false, true},
		{LogsOnFailure, false, false},
		{LogsNever, false, false},
		{LogsNever, true, false},
	} {
		w := cleaned(t, c.silent, func(conf *Config) { conf.CollectLogs = c.when })
		names := strings.Join(w.logs(), " ")
		if strings.Contains(names, "agent-") != c.agent || !c.agent && names != "" {
			t.Errorf("%s, silent %v: kept %q", c.when, c.silent, names)
		}
		n, _ := w.state()
		if (n.ProvisionState == metal.Available) == c.silent {
			t.Errorf("%s: the node is %s: %s", c.when, n.ProvisionState, n.LastError)
		}
	}
}
