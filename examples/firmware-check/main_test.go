package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ask(command, maker, product, version, args string) string {
	return fmt.Sprintf(`{"protocol":1,"command":%q,"node":{"uuid":"n"},"ports":[],"inventory":{"system_vendor":{"manufacturer":%q,"product_name":%q,
		"firmware":{"version":%q}}},"step":{"interface":"firmware","step":"check_firmware","args":%s}}`, command, maker, product, version, args)
}

func TestFirmwareCheck(t *testing.T) {
	dir := t.TempDir()
	file, strict, broken := filepath.Join(dir, "rules"), filepath.Join(dir, "strict"), filepath.Join(dir, "broken")
	for path, text := range map[string]string{
		file:   `{"priority":95,"rules":[{"manufacturer":"Acme","product":"A1","versions":["2.1","2.2"]},{"manufacturer":"Acme","versions":["9"]}]}`,
		strict: `{"strict":true}`, broken: `{`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, request, file string
		code                int
		want                string
	}{
		{"approved", ask("run", "Acme", "A1", "2.2", "{}"), file, 0, `{"result":{"checked":true,"firmware":"2.2"}}`},
		{"too old", ask("run", "Acme", "A1", "2.0", "{}"), file, 1, `the firmware of Acme A1 is \"2.0\", and must be one of: 2.1, 2.2`},
		{"every product of a maker", ask("run", "Acme", "B", "9", "{}"), file, 0, `"checked":true`},
		{"no rule", ask("run", "Other", "X", "1", "{}"), file, 0, `"checked":false`},
		{"no rule, strict", ask("run", "Other", "X", "1", "{}"), strict, 1, `no rule for the firmware of Other X`},
		{"versions of the step", ask("run", "Other", "X", "1", `{"versions":["1"]}`), strict, 0, `"checked":true`},
		{"no rules at all", ask("run", "Other", "X", "1", `{"versions":["2"]}`), dir + "/none", 1, `must be one of: 2`},
		{"broken rules", ask("describe", "Acme", "A1", "1", "{}"), broken, 1, `cannot be read`},
		{"described", ask("describe", "Acme", "A1", "1", "{}"), file, 0, `"priority":95`},
		{"a machine that tells nothing", ask("describe", "", "", "", "{}"), file, notHere, `no SMBIOS`},
		{"another protocol", `{"protocol":2}`, file, 1, `protocol`},
		{"no request", ``, file, 1, `cannot be read`},
		{"another command", ask("dance", "", "", "", "{}"), file, 1, `dance`},
	} {
		code, answer := run(strings.NewReader(c.request), c.file)
		b, err := json.Marshal(answer)
		if err != nil || code != c.code || !strings.Contains(string(b), c.want) {
			t.Errorf("%s: %d %s %v", c.name, code, b, err)
		}
	}
}

func TestTheVersionFollowsTheRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules")
	seen := map[string]bool{}
	for _, text := range []string{"", `{}`, `{"priority":1}`} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, version, err := load(file)
		if err != nil || seen[version] {
			t.Errorf("%q: version %s, %v", text, version, err)
		}
		seen[version] = true
	}
}
