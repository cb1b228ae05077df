package conductor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/agentapi"
)

// maxOutcome bounds what of a step's own words goes into an event, bytes.
const maxOutcome = 2 << 10

// outcomeText words what a clean step says it did to the disks, as " /dev/sda (serial S1, 480.1 GB): …;
// …." to follow a sentence; "" if it says nothing of that. Agents of another make give null for each disk. What it says
// goes through scrubbed as it came, before it is made fit for an event.
func outcomeText(result json.RawMessage, scrubbed func(string) string) string {
	var r struct {
		Clean map[string]json.RawMessage `json:"clean_result"`
	}
	if json.Unmarshal(result, &r) != nil {
		return "" // a step of another kind
	}
	var text strings.Builder
	for _, disk := range slices.Sorted(maps.Keys(r.Clean)) {
		var e agentapi.Erased
		if !certifiable(disk) || json.Unmarshal(r.Clean[disk], &e) != nil {
			continue
		}
		words := disk
		if e.Serial != "" || e.Size > 0 {
			words += fmt.Sprintf(" (serial %s, %.1f GB)", orNone(e.Serial), float64(e.Size)/1e9)
		}
		if e.How != "" {
			words += ": " + e.How
		}
		words = scrubbed(words)
		if text.Len() > 0 {
			text.WriteString("; ")
		}
		if text.Len()+len(words) > maxOutcome {
			text.WriteString("and more")
			break
		}
		text.WriteString(oneLine(words))
	}
	if text.Len() == 0 {
		return ""
	}
	return " " + text.String() + "."
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// oneLine makes an agent's text safe for an event.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}
