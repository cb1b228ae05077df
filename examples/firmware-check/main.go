// Command firmware-check is a plugin of ingot-agent, as an example of one: a clean step that fails while a
// machine's firmware is not one that the operator has approved. The protocol is docs/guides/agent-plugins.md; the
// guide builds it into a ramdisk too.
//
// What is approved is a list of rules in a file beside the program, firmware-check.json:
//
//	{"priority": 95, "strict": false, "rules": [
//	  {"manufacturer": "Dell Inc.", "product": "PowerEdge R640", "versions": ["2.19.1", "2.21.2"]}]}
//
// The first rule that fits the machine counts; one without a product fits every machine of its maker. A machine
// without a rule passes, unless the file is strict. With the argument versions the step checks against that list
// instead. A rule file that changed changes the plugin's version, so that a cleaning under way notices.
//
// It uses nothing but the standard library, and nothing of Ingot's: a plugin is a stranger's program.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// request is what of the agent's question matters here.
type request struct {
	Protocol  int    `json:"protocol"`
	Command   string `json:"command"`
	Inventory struct {
		Vendor struct {
			Manufacturer string `json:"manufacturer"`
			Product      string `json:"product_name"`
			Firmware     struct {
				Version string `json:"version"`
			} `json:"firmware"`
		} `json:"system_vendor"`
	} `json:"inventory"`
	Step struct {
		Args struct {
			Versions []string `json:"versions"`
		} `json:"args"`
	} `json:"step"`
}

type rules struct {
	Priority int    `json:"priority"`
	Strict   bool   `json:"strict"`
	Rules    []rule `json:"rules"`
}

type rule struct {
	Manufacturer string   `json:"manufacturer"`
	Product      string   `json:"product"`
	Versions     []string `json:"versions"`
}

// notHere says that the plugin has nothing to do with this machine.
const notHere = 3

func main() {
	code, answer := run(os.Stdin, besideUs())
	b, err := json.Marshal(answer)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(b))
	os.Exit(code)
}

// besideUs is the rule file.
func besideUs() string {
	self, err := os.Executable()
	if err != nil {
		return "firmware-check.json"
	}
	return filepath.Join(filepath.Dir(self), "firmware-check.json")
}

// run answers one request: an exit code and the line to say.
func run(in io.Reader, file string) (int, map[string]any) {
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return fail("the request cannot be read: %v", err)
	}
	if r.Protocol != 1 {
		return fail("this plugin speaks protocol 1, the agent %d", r.Protocol)
	}
	known, version, err := load(file)
	if err != nil {
		return fail("the rules %s cannot be read: %v", filepath.Base(file), err)
	}
	switch r.Command {
	case "describe":
		if r.Inventory.Vendor.Manufacturer == "" && !known.Strict {
			return notHere, map[string]any{"log": "this machine has no SMBIOS tables to tell its firmware by"}
		}
		return 0, map[string]any{"result": describe(known, version)}
	case "run":
		return r.check(known)
	}
	return fail("there is no command %q", r.Command)
}

func fail(format string, args ...any) (int, map[string]any) {
	return 1, map[string]any{"error": fmt.Sprintf(format, args...)}
}

// load reads the rules. Without a file there are none: the step can still be asked for, with versions.
func load(file string) (rules, string, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return rules{}, "1", nil
	}
	if err != nil {
		return rules{}, "", err
	}
	var known rules
	if err := json.Unmarshal(b, &known); err != nil {
		return rules{}, "", err
	}
	sum := sha256.Sum256(b)
	return known, "1+" + hex.EncodeToString(sum[:4]), nil
}

func describe(known rules, version string) map[string]any {
	step := map[string]any{"interface": "firmware", "step": "check_firmware", "priority": known.Priority, "abortable": true, "limit": 60,
		"argsinfo": map[string]any{"versions": map[string]any{"description": "the firmware versions that are allowed, instead of those of the rule file"}}}
	asked := map[string]any{"interface": "firmware", "step": "check_firmware", "priority": 0, "limit": 60, "argsinfo": step["argsinfo"]}
	return map[string]any{"name": "firmware_check", "version": version, "support": 2,
		"clean_steps": []any{step}, "deploy_steps": []any{asked}, "service_steps": []any{asked}}
}

// check compares the machine's firmware with what is allowed.
func (r request) check(known rules) (int, map[string]any) {
	v := r.Inventory.Vendor
	machine, have := strings.TrimSpace(v.Manufacturer+" "+v.Product), v.Firmware.Version
	allowed := r.Step.Args.Versions
	if len(allowed) == 0 {
		i := slices.IndexFunc(known.Rules, func(one rule) bool {
			return one.Manufacturer == v.Manufacturer && (one.Product == "" || one.Product == v.Product)
		})
		switch {
		case i < 0 && known.Strict:
			return fail("there is no rule for the firmware of %s, and the rules are strict", machine)
		case i < 0:
			return 0, map[string]any{"result": map[string]any{"firmware": have, "checked": false, "reason": "no rule for " + machine}}
		}
		allowed = known.Rules[i].Versions
	}
	if !slices.Contains(allowed, have) {
		return fail("the firmware of %s is %q, and must be one of: %s", machine, have, strings.Join(allowed, ", "))
	}
	return 0, map[string]any{"result": map[string]any{"firmware": have, "checked": true}}
}
