package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ingot/agent/child"
	"ingot/agent/plugin"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// plugged makes a bench with plugins, which are shell scripts: what describe says, and the lines of run.
func plugged(t *testing.T, plugins map[string][2]string) *bench {
	t.Helper()
	b := newBench(t)
	b.disk(t, "sda", 6)
	b.Patience.Quiet, b.Patience.Limit = 1, 1
	b.Plugins = plugin.Folder{Path: filepath.Join(b.root, plugin.Dir), Children: &child.Children{}, Log: b.Log}
	for name, does := range plugins {
		b.plug(t, name, does[0], does[1])
	}
	return b
}

func (b *bench) plug(t *testing.T, name, describe, run string) {
	t.Helper()
	path := filepath.Join(b.root, plugin.Dir, name)
	script := fmt.Sprintf("#!/bin/sh\ncat > input\nif [ $1 = describe ]; then echo '{\"result\":%s}'; exit; fi\n%s\n", describe, run)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path+".new", []byte(script), 0o755), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// call runs a command and gives its result, or the class and words of its error.
func (b *bench) call(t *testing.T, name string, params any) (map[string]any, *agentapi.CommandError) {
	t.Helper()
	v, err := b.Commands()[name].Run(t.Context(), jsonOf(t, params), func(agentapi.Progress) {})
	var e *agentapi.CommandError
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("an error without a class: %v", err)
	}
	var result map[string]any
	if err := json.Unmarshal(jsonOf(t, v), &result); err != nil {
		t.Fatal(err)
	}
	return result, e
}

// listed gives "interface.step:priority" of every step by manager, and the versions.
func (b *bench) listed(t *testing.T, kind string) (map[string]string, map[string]any) {
	t.Helper()
	result, e := b.call(t, kind+".get_"+kind+"_steps", map[string]any{"node": agentapi.Node{UUID: "n"}, "ports": []any{}})
	if e != nil {
		t.Fatal(e)
	}
	got := map[string]string{}
	all, _ := result[kind+"_steps"].(map[string]any)
	for name, steps := range all {
		var words []string
		for _, s := range steps.([]any) {
			step := s.(map[string]any)
			words = append(words, fmt.Sprintf("%v.%v:%v", step["interface"], step["step"], step["priority"]))
		}
		got[name] = strings.Join(words, " ")
	}
	return got, result["hardware_manager_version"].(map[string]any)
}

func offers(name, version string, support int, steps string) string {
	return fmt.Sprintf(`{"name":%q,"version":%q,"support":%d,"clean_steps":[%s],"service_steps":[{"interface":"bios","step":"tune","priority":0}]}`, name, version, support, steps)
}

const (
	checkStep = `{"interface":"firmware","step":"check","priority":%d,"argsinfo":{"want":{"description":"which","required":false}}}`
	eraseStep = `{"interface":"deploy","step":"erase_devices","priority":5}`
)

func TestStepsOfPluginsAreMerged(t *testing.T) {
	check := func(p int) string { return fmt.Sprintf(checkStep, p) }
	b := plugged(t, map[string][2]string{
		"a": {offers("vendor", "1", 3, check(10)+","+eraseStep), `echo '{"result":"vendor did"}'`},
		"b": {offers("other", "7", 3, check(20)), `exit 3`},
		"c": {offers("mainline", "2", 2, check(90)), `echo '{"result":"mainline did"}'`},
		"d": {`"never"`, ""},
	})
	if _, e := b.call(t, "clean.get_clean_steps", map[string]any{"node": agentapi.Node{UUID: "n"}}); e == nil ||
		e.Type != "HardwareManagerConfigurationError" || !strings.Contains(e.Details, "plugin d: ") {
		t.Errorf("a broken plugin: %+v", e)
	}
	if err := os.Remove(filepath.Join(b.Plugins.Path, "d")); err != nil {
		t.Fatal(err)
	}
	got, versions := b.listed(t, plugin.Clean)
	if got["vendor"] != "deploy.erase_devices:5" || got["other"] != "firmware.check:20" || got["mainline"] != "" ||
		strings.Contains(got[manager], "erase_devices:") || !strings.HasPrefix(got[manager], "deploy.erase_devices_metadata:99") {
		t.Errorf("%v", got)
	}
	if want := map[string]any{managerVersion: ownVersion, "vendor": "1", "other": "7", "mainline": "2"}; !reflect.DeepEqual(versions, want) {
		t.Errorf("%v, want %v", versions, want)
	}
	raw, e := b.call(t, "clean.get_clean_steps", map[string]any{"node": agentapi.Node{UUID: "n"}})
	if text := string(jsonOf(t, raw)); e != nil || !strings.Contains(text, `"argsinfo":{"want":{"description":"which"}}`) || !strings.Contains(text, `"argsinfo":{"match_patterns":`) {
		t.Errorf("%s %v", text, e)
	}
	execute := func(step string, version any) (any, *agentapi.CommandError) {
		result, e := b.call(t, "clean.execute_clean_step", map[string]any{"node": agentapi.Node{UUID: "n"}, "clean_version": version,
			"step": map[string]any{"interface": "firmware", "step": step}})
		return result["clean_result"], e
	}
	// other has the step of the highest priority among the best, and says that it is not for this machine.
	if r, e := execute("check", versions); r != "vendor did" {
		t.Errorf("%v %+v", r, e)
	}
	if r, e := execute("erase_devices", nil); r != "vendor did" || b.clean(t, "sda") {
		t.Errorf("%v %+v", r, e)
	}
	// The same agent with a later plugin, as after a reboot into another ramdisk.
	b.plug(t, "a", offers("vendor", "2", 3, eraseStep), `echo '{"error":"no"}'`)
	later := New(b.Config, agentapi.Node{})
	b.Steps = later
	if _, e := execute("erase_devices", versions); e == nil || e.Type != "VersionMismatch" {
		t.Errorf("%+v", e)
	}
	if _, e := execute("erase_devices", nil); e == nil || e.Type != "CleaningError" || e.Details != "step erase_devices: plugin vendor: no" {
		t.Errorf("%+v", e)
	}
}

func TestServiceSteps(t *testing.T) {
	b := plugged(t, map[string][2]string{"a": {offers("vendor", "1", 3, ""), `grep -q '"kind":"service"' input && echo '{"result":{"tuned":true}}'`}})
	got, versions := b.listed(t, plugin.Service)
	if got["vendor"] != "bios.tune:0" || !strings.Contains(got[manager], "deploy.write_image:0") {
		t.Errorf("%v", got)
	}
	step := map[string]any{"interface": "bios", "step": "tune"}
	result, e := b.call(t, "service.execute_service_step", map[string]any{"node": agentapi.Node{UUID: "n"}, "service_version": versions, "step": step})
	if e != nil || !reflect.DeepEqual(result, map[string]any{"service_result": map[string]any{"tuned": true}, "service_step": step}) {
		t.Errorf("%v %+v", result, e)
	}
	for what, want := range map[string]string{"tune": "VersionMismatch", "": "InvalidCommandParamsError"} {
		_, e = b.call(t, "service.execute_service_step", map[string]any{"service_version": map[string]any{"x": "1"}, "step": map[string]any{"step": what}})
		if e == nil || e.Type != want {
			t.Errorf("%q: %+v", what, e)
		}
	}
	if _, e = b.call(t, "service.execute_service_step", map[string]any{"step": map[string]any{"step": "erase_devices"}}); e == nil || e.Type != "ServicingError" {
		t.Errorf("%+v", e)
	}
}

// TestOwnSteps is the list of all steps of our own.
func TestOwnSteps(t *testing.T) {
	b := newBench(t)
	for kind, want := range map[string]string{
		plugin.Clean:   "deploy.erase_devices_metadata:99 deploy.erase_devices:10 deploy.erase_devices_express:0 deploy.erase_pstore:0 deploy.clean_uefi_nvram:0 deploy.clean_uefi_variables:5",
		plugin.Deploy:  "deploy.erase_devices_metadata:0 deploy.clean_uefi_nvram:0 deploy.write_image:0",
		plugin.Service: "deploy.write_image:0",
	} {
		if got, _ := b.listed(t, kind); got[manager] != want {
			t.Errorf("%s: %s, want %s", kind, got[manager], want)
		}
	}
}

// Whatever a plugin does with a secret argument, it is not in the agent's log, nor in what the conductor gets.
func TestSecretArgumentsAreNotRepeated(t *testing.T) {
	const about = `{"name":"p","version":"1","support":2,"clean_steps":[{"interface":"bios","step":"tell"},{"interface":"bios","step":"fail"},{"interface":"bios","step":"die"}]}`
	run := `key=$(sed 's/.*"key":"\([^"]*\)".*/\1/' input)
echo "whispers $key" >&2
case $(cat input) in
*'"step":"die"'*) exit 4;;
*'"step":"fail"'*) echo "{\"error\":\"bad key $key\"}"; exit 1;;
esac
echo "{\"log\":\"got $key\"}"
echo "{\"progress\":{\"what\":\"with $key\",\"done\":1,\"total\":2,\"unit\":\"x\"}}"
echo "{\"result\":{\"used\":[\"the $key\",4711471147,1.50],\"$key\":true}}"`
	b := plugged(t, map[string][2]string{"p": {about, run}})
	var log bytes.Buffer
	b.Plugins.Log = slog.New(slog.NewTextHandler(&log, nil))
	for step, want := range map[string]string{"tell": `{"MASK":true,"used":["the MASK",4711471147,1.50]}`, "fail": "bad key MASK", "die": "ended with code 4: whispers MASK"} {
		var said []agentapi.Progress
		v, err := b.Commands()[cleanStep].Run(t.Context(), jsonOf(t, map[string]any{"node": agentapi.Node{UUID: "n"}, "ports": []any{},
			"step": map[string]any{"interface": "bios", "step": step, "args": map[string]any{"key": "canary-of-a-key"}, "ingot_secret_args": []string{"key"}}}),
			func(p agentapi.Progress) { said = append(said, p) })
		all := string(jsonOf(t, v)) + fmt.Sprint(said, err)
		if !strings.Contains(strings.ReplaceAll(all, secret.Mask, "MASK"), want) || strings.Contains(all, "canary") {
			t.Errorf("%s: %s", step, all)
		}
	}
	if strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "got "+secret.Mask) {
		t.Error(log.String())
	}
}
