package conductor

import (
	"context"
	"crypto/subtle"
	"crypto/tls"

	"ingot/internal/agentapi"
	"ingot/internal/store"
)

// maxHeard bounds what an agent may answer to the poller, bytes: thousands are heard at a time, and some are strangers. One that
// says more is heard by its operation, which looks for itself after lookAnyway.
const maxHeard = 8 << 20

// client is a client of the agent that a node's row describes, for the poller.
func (p *poller) client(a *store.Agent, url string) (*agentapi.Client, error) {
	agent, err := p.c.agentClient(a, url)
	if err == nil {
		agent.AtMost(maxHeard)
	}
	return agent, err
}

// shownBy is the certificate of whoever serves TLS at url; agentapi.ErrCertificate if it is known that the agent's is another.
func (c *Conductor) shownBy(ctx context.Context, a *store.Agent, url string) (string, error) {
	mine, err := commander(a)
	if err != nil {
		return "", err
	}
	shown, err := agentapi.ShownCertificate(ctx, url, mine)
	if err == nil && a.VerifyCA != "" && subtle.ConstantTimeCompare([]byte(shown), []byte(a.VerifyCA)) != 1 {
		err = agentapi.ErrCertificate
	}
	return shown, err
}

// commander is what the commander of the boot shows; nil for nothing.
func commander(a *store.Agent) (*tls.Certificate, error) {
	if a.Commander.Empty() {
		return nil, nil
	}
	pair, err := a.Commander.TLS()
	return &pair, err
}
