package api

import (
	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

// readSecrets reads the secret values that go with steps: an object of name and string. It is ours; upstream has
// none. No answer repeats a value.
func readSecrets(v any) (map[string]secret.Secret, error) {
	if v == nil {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("Invalid secrets: it must be an object of names and strings, in the body.")
	}
	out := make(map[string]secret.Secret, len(m))
	for name, value := range m {
		text, ok := value.(string)
		if !ok {
			return nil, invalid("Invalid secrets: the value of %q must be a string.", clip(name))
		}
		out[name] = secret.New(text)
	}
	return out, courier.Check(out)
}

// checkSecrets refuses values where nothing could use them.
func (rq *request) checkSecrets() error {
	if len(rq.secrets) > 0 && len(rq.cleanSteps)+len(rq.deploySteps)+len(rq.serviceSteps) == 0 {
		return fault.New(fault.Invalid, "secrets goes only with steps of the same request (clean_steps, deploy_steps or service_steps) whose arguments name the values as {\"secret\": \"NAME\"}.")
	}
	return nil
}
