package store

import (
	"encoding/json"
	"fmt"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// keptPairs is the form in which the pairs of one boot are sealed.
type keptPairs struct {
	AgentKey    string `json:"agent_key,omitempty"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

func pairsField(boot string) string { return "agent pairs " + boot }

// sealPairs gives nil for an agent without any.
func (t *Tx) sealPairs(a *Agent) ([]byte, error) {
	if a.Commander.Empty() {
		return nil, nil
	}
	plain, err := json.Marshal(keptPairs{AgentKey: a.AgentKey.Expose(), Certificate: a.Commander.Certificate, Key: a.Commander.Key.Expose()})
	if err != nil {
		return nil, err
	}
	return t.db.key.seal(plain, a.NodeUUID, pairsField(a.Boot)), nil
}

func (t *Tx) openPairs(a *Agent, sealed []byte) error {
	if len(sealed) == 0 {
		return nil
	}
	plain, err := t.db.key.open(sealed, a.NodeUUID, pairsField(a.Boot))
	if err != nil {
		return fmt.Errorf("key pairs of the boot of node %s: %w", a.NodeUUID, err)
	}
	var k keptPairs
	if err := json.Unmarshal(plain, &k); err != nil {
		return fmt.Errorf("key pairs of the boot of node %s: %w", a.NodeUUID, err)
	}
	a.AgentKey = secret.New(k.AgentKey)
	a.Commander = agentapi.Pair{Certificate: k.Certificate, Key: secret.New(k.Key)}
	return nil
}
