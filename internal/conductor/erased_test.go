package conductor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

func TestHistoryTellsWhichDisksWereErased(t *testing.T) {
	onEach(t, testHistoryTellsWhichDisksWereErased)
}

func testHistoryTellsWhichDisksWereErased(t *testing.T) {
	w := journeys[1].begin(t)
	w.run(w.conductor("c1", func(string) error { return nil }))
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{Limit: 1000})
		if !slices.ContainsFunc(events, func(e metal.HistoryEvent) bool {
			return e.Why == "Clean step deploy.erase_devices is done (2 of 2). /dev/sda (serial S1, 8.0 GB): wiped; /dev/sdb (serial S2, 0.0 GB): left alone."
		}) {
			t.Errorf("no event names the disk: %+v", events)
		}
		return err
	})
}

func TestOutcomeText(t *testing.T) {
	for result, want := range map[string]string{
		``:                              "",
		`null`:                          "",
		`{"clean_result": "done"}`:      "",
		`{"clean_result": {"x": null}}`: "",
		`{"clean_result": {"/dev/sda": null, "/dev/nvme0n1": null}}`: " /dev/nvme0n1; /dev/sda.",
		`{"clean_result": {"/dev/sdb": {"serial": "", "size": 500107862016, "how": "metadata wiped"},
			"/dev/sda": {"serial": "S\n1", "size": 1000204886016, "how": "skipped: read-only"}}}`: " /dev/sda (serial S?1, 1000.2 GB): skipped: read-only; /dev/sdb (serial none, 500.1 GB): metadata wiped.",
	} {
		if got := outcomeText(json.RawMessage(result), asSaid); got != want {
			t.Errorf("%s: %q, want %q", result, got, want)
		}
	}
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf(`"/dev/sd%d": {"serial": "S%d", "size": 1, "how": "wiped"}`, i, i))
	}
	got := outcomeText(json.RawMessage(`{"clean_result": {`+strings.Join(many, ",")+`}}`), asSaid)
	if len(got) > maxOutcome+50 || !strings.HasSuffix(got, "; and more.") {
		t.Errorf("%d bytes, %q", len(got), got[len(got)-20:])
	}
	if got := outcomeText(json.RawMessage(`{"clean_result": {"/dev/`+strings.Repeat("x", 1<<20)+`": null}}`), asSaid); got != " and more." {
		t.Errorf("%d bytes", len(got))
	}
}

func asSaid(said string) string { return said }
