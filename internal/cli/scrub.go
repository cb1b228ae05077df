package cli

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// masked is what stands where a secret was; Ironic's own mask.
const masked = "******"

// secretWords mark a key whose value nobody else should see. They are parts of keys; what is masked too much is
// no loss.
var secretWords = []string{"password", "passwd", "passphrase", "secret", "token", "private", "credential", "auth", "cookie",
	"user_data", "userdata", "configdrive", "config_drive", "ssh", "snmp_community", "_key", "signature"}

func hidesKey(key string) bool {
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	for _, w := range secretWords {
		if strings.Contains(key, w) {
			return true
		}
	}
	return key == "key"
}

// scrubbed masks a document: values by their keys, and in every text what scrubText masks.
func scrubbed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			if hidesKey(k) && inner != nil && inner != "" {
				out[k] = masked
				continue
			}
			out[k] = scrubbed(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = scrubbed(v[i])
		}
		return out
	case string:
		return scrubText(v)
	}
	return v
}

// scrubJSON renders data as indented JSON, masked.
func scrubJSON(data any) ([]byte, error) {
	plain, err := plainValue(data)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err = e.Encode(scrubbed(plain))
	return b.Bytes(), err
}

// What secrets look like in a text that has no keys: in a URL before the @, in its query, behind a word that says
// so, in an HTTP header, in a PEM block.
var (
	urlUser  = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'<>@]+@`)
	urlQuery = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>?]+\?)[^\s"'<>]+`)
	named    = regexp.MustCompile(`(?i)\b([a-z0-9_.-]*(?:password|passwd|passphrase|secret|token|credential|user_data|userdata|community|private_key|api_key|signature)[a-z0-9_]*\\?["']?\s*[:=]\s*)(\\?"[^"]*"|'[^']*'|[^\s,;&]+)`)
	bearer   = regexp.MustCompile(`(?i)\b(authorization\s*[:=]\s*|bearer\s+|basic\s+)[A-Za-z0-9+/=._~-]{8,}(\s+[A-Za-z0-9+/=._~-]{8,})?`)
	pem      = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)
)

func scrubText(s string) string {
	s = pem.ReplaceAllString(s, masked)
	s = urlUser.ReplaceAllString(s, "${1}"+masked+"@")
	s = urlQuery.ReplaceAllString(s, "${1}"+masked)
	s = bearer.ReplaceAllString(s, "${1}"+masked)
	return named.ReplaceAllString(s, "${1}"+masked)
}
