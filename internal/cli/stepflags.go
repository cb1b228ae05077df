package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// stepFlags are the steps that go with a verb, and the secret values that their arguments name.
type stepFlags struct {
	file    string
	secrets []string
}

func (s *stepFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.file, "steps", "", "JSON or YAML file with a list of steps: interface, step, args; - for standard input")
	f.StringArrayVar(&s.secrets, "secret", nil, `NAME=FILE for a value that an argument of a step names as {"secret": "NAME"}; - for standard input, fd:N, env:NAME; repeatable`)
}

// read gives the steps and the values. A value is a file's content without its last line end.
func (s *stepFlags) read(cmd *cobra.Command) (steps []any, values map[string]secret.Secret, err error) {
	if s.file != "" {
		b, err := read(cmd, s.file, documentLimit)
		if err != nil {
			return nil, nil, err
		}
		if steps, err = parseSteps(s.file, b); err != nil {
			return nil, nil, err
		}
	}
	for _, given := range s.secrets {
		if _, file, _ := strings.Cut(given, "="); s.file == "-" && file == "-" {
			return nil, nil, usagef("standard input cannot be both the steps and a secret value")
		}
		name, v, err := namedSecret(cmd, "secret", given, secretLimit)
		if err != nil {
			return nil, nil, err
		}
		if values == nil {
			values = map[string]secret.Secret{}
		}
		values[name] = v
	}
	return steps, values, nil
}

// parseSteps reads a list of steps; the API judges what is in them.
func parseSteps(file string, b []byte) ([]any, error) {
	const look = "it is like: [{interface: power, step: reboot}]"
	var document any
	if err := yaml.Unmarshal(b, &document); err != nil {
		return nil, hint(usagef("%s: not a JSON or YAML list of steps: %s", file, strings.TrimPrefix(err.Error(), "yaml: ")), look)
	}
	switch d := document.(type) {
	case []any:
		if len(d) > 0 {
			return d, nil
		}
		return nil, hint(usagef("%s: not a JSON or YAML list of steps: it is empty", file), look)
	case nil:
		return nil, hint(usagef("%s: not a JSON or YAML list of steps: it is empty", file), look)
	case map[string]any:
		return nil, hint(usagef("%s: not a JSON or YAML list of steps but one object: put it into a list", file), look)
	}
	return nil, hint(usagef("%s: not a JSON or YAML list of steps", file), look)
}

// withArgs gives deploy steps the arguments that the API wants of them even where there are none.
func withArgs(steps []any) []any {
	for _, s := range steps {
		if step, ok := s.(map[string]any); ok && step["args"] == nil {
			step["args"] = map[string]any{}
		}
	}
	return steps
}

// stepping makes a command that sends a verb with steps.
func (a *app) stepping(v metal.Verb, c cobra.Command, want ...metal.State) *cobra.Command {
	var w waiting
	var s stepFlags
	var noRamdisk bool
	var runbook string
	c.Flags().StringVar(&runbook, "runbook", "", "run the steps of this runbook, in place of --steps")
	c.Flags().BoolVar(&noRamdisk, "disable-ramdisk", false, "run the steps without booting the ramdisk; those that need its agent are refused")
	c.Args = exactly("NODE")
	c.ValidArgsFunction = a.completeNodes
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		steps, values, err := s.read(cmd)
		if err != nil {
			return err
		}
		switch {
		case len(steps) == 0 && runbook == "":
			return usagef("--steps or --runbook is missing")
		case len(steps) > 0 && runbook != "":
			return usagef("--steps and --runbook exclude each other")
		case noRamdisk && runbook != "":
			return usagef("--disable-ramdisk does not go with --runbook: the runbook says whether its steps need the ramdisk")
		}
		return a.start(cmd, cl, args[0], cmd.Name(), w, rest{want}, func(ctx context.Context) error {
			return cl.SetProvision(ctx, args[0], client.Provision{Verb: v, Steps: steps, Runbook: runbook, NoRamdisk: noRamdisk, Secrets: values})
		})
	})
	w.flags(&c)
	s.flags(&c)
	return &c
}

func (a *app) nodeClean() *cobra.Command {
	return a.stepping(metal.VerbClean, cobra.Command{
		Use:   "clean NODE --steps FILE",
		Short: "Run clean steps, in this order, on a manageable node",
		Example: `  ingot node clean rack1-u3 --steps raid.yaml --wait
  ingot node clean rack1-u3 --runbook wipe --wait`,
	}, metal.Manageable)
}

func (a *app) nodeService() *cobra.Command {
	return a.stepping(metal.VerbService, cobra.Command{
		Use:   "service NODE --steps FILE",
		Short: "Run service steps, in this order, on an active node",
		Example: `  ingot node service rack1-u3 --steps firmware.yaml --secret bmc=bmc-password --wait
  ingot node service rack1-u3 --runbook firmware --wait`,
	}, metal.Active)
}
