package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// TestRulebook: policy files are found and read again when they change, and a broken one leaves the rules as they were.
func TestRulebook(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	b, err := openRules(serveFlags{data: dir}, config.Defaults(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, want bool, level metal.Level) {
		t.Helper()
		b.look()
		if got := b.rules.Load().For(policy.Caller{}).Allows("node:ipa_heartbeat", policy.Target{}); got != want {
			t.Errorf("%s: %v", when, got)
		}
		if f := b.examine(); f.Level != level {
			t.Errorf("%s: the doctor says %+v", when, f)
		}
	}
	expect("no file", true, metal.Fine)
	write("policy.yaml", "# the agents have another group\n\"baremetal:node:ipa_heartbeat\": \"!\"\n\"baremetal:driver:ipa_lookup\": \"!\"\n")
	expect("the seed's lines", false, metal.Fine)
	write("policy.d/10.yaml", `"baremetal:node:ipa_heartbeat": "@"`)
	expect("a file of a folder is read after", true, metal.Fine)
	write("policy.d/20.json", `{"baremetal:node:ipa_heartbeat": "!"}`)
	expect("in the order of names", false, metal.Fine)
	write("policy.d/30.yaml", `"baremetal:node:ipa_heartbeet": "@"`)
	expect("a broken file", false, metal.Warn)
	if !strings.Contains(log.String(), "did you mean node:ipa_heartbeat") {
		t.Errorf("the log does not say what is wrong: %s", log.String())
	}
	if err := os.RemoveAll(filepath.Join(dir, "policy.d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "policy.yaml")); err != nil {
		t.Fatal(err)
	}
	expect("files that are gone", true, metal.Fine)
}

// TestRulebookRefuses: what keeps a server from starting.
func TestRulebookRefuses(t *testing.T) {
	for want, change := range map[string]func(*config.Config, string){
		"enforce_new_defaults": func(c *config.Config, _ string) { c.Policy.EnforceNewDefaults = false },
		"no such file":         func(c *config.Config, _ string) { c.Policy.PolicyFile = "mine.yaml" },
		"there is no such rule": func(c *config.Config, dir string) {
			c.Policy.PolicyFile = filepath.Join(dir, "p.json")
			if err := os.WriteFile(c.Policy.PolicyFile, []byte(`{"baremetal:node:heartbeat": "!"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		c, dir := config.Defaults(), t.TempDir()
		change(&c, dir)
		if _, err := openRules(serveFlags{data: dir}, c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
