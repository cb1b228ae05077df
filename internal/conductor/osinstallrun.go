package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// installStep is the core step of an installation with an OS definition, where it stands among the others.
var installStep = metal.Step{Interface: "deploy", Step: "install_os", Priority: 70}

// verifyParameters lets the definition judge the parameters before anything is written.
var verifyParameters = step{name: "verify os parameters", class: checkable, run: (*runner).verifyOS, limitOf: osLimit, tries: 10, outside: true}

// runInstall runs the scripts and overlays the package.
var runInstall = step{name: "install os", class: checkable, run: (*runner).installOS, limitOf: osLimit, tries: 10, outside: true}

// osLimit is a backstop: the limit of all of it is Op.Rec.OS.Until.
func osLimit(c *Config) time.Duration {
	if c.OSInstall.Limit <= 0 {
		return 0
	}
	return c.OSInstall.Limit + 10*time.Minute
}

// corePlaces are the steps of this deployment where they stand among others.
func (o *Op) corePlaces() []metal.Step {
	switch {
	case o.Rec.OS == nil:
		return corePlaces
	case o.Rec.OS.self():
		return selfPlaces
	}
	out := append(slices.Clone(corePlaces), installStep)
	if !o.Rec.OS.Image {
		out = slices.DeleteFunc(out, func(s metal.Step) bool { return s.Step == "write_image" })
	}
	return out
}

// coreSteps is the work behind a core step of this deployment. Without an OS definition it is what it was before there were any:
// the numbers of steps mean the same to a server of either version.
func (o *Op) coreSteps(name string) []step {
	out := coreSteps[name]
	switch {
	case o.Rec.OS == nil:
		return out
	case o.Rec.OS.self():
		return selfSteps[name]
	case name == "deploy":
		return append(slices.Clone(out), verifyParameters)
	case name == "write_image":
		return []step{inTime(out[0])}
	case name == installStep.Step:
		return []step{runInstall}
	}
	return out
}

// agentCallback is how long a machine may take to call back in a deployment.
func agentCallback(c *Config, op *Op) time.Duration {
	if op.Rec.OS != nil {
		return c.OSInstall.StartLimit
	}
	return c.DeployCallbackLimit
}

// inTime is a step that fails when the time for the whole installation is over.
func inTime(s step) step {
	run := s.run
	s.run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		if err := r.inTime(op); err != nil {
			return Outcome{}, err
		}
		return run(r, ctx, op)
	}
	return s
}

// inTime begins the time for the whole installation, or tells that it is over.
func (r *runner) inTime(op *Op) error {
	os, limit := op.Rec.OS, r.c.config.OSInstall.Limit
	if os.Until.IsZero() && limit > 0 {
		os.Until = time.Now().Add(limit)
	}
	if os.Until.IsZero() || time.Now().Before(os.Until) {
		return nil
	}
	said := ""
	if os.Stage != "" {
		said = fmt.Sprintf(" The last that it said was stage %q.", os.Stage)
	}
	return fault.New(fault.Invalid, "time is over: %s has not ended within %s of the agent's first call ([os_install] timeout), and the machine is switched off.%s", op.osWord(), limit, said)
}

// osWord says what takes its time.
func (o *Op) osWord() string {
	if o.kind() == metal.ServiceSteps {
		return "the service"
	}
	return "the installation"
}

// verifyOS has the definition judge its parameters.
func (r *runner) verifyOS(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.inTime(op); err != nil {
		return Outcome{}, err
	}
	_, d, err := r.readInstall(ctx, op)
	if err != nil || d == nil || !d.Definition.Verifies() {
		return done, err
	}
	_, o, err := r.osCommand(ctx, op, agentapi.CommandOSVerify, "verifying the OS parameters", func() (any, error) { return r.osWork(ctx, op) })
	return o, err
}

// installOS runs the scripts and overlays the package.
func (r *runner) installOS(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.inTime(op); err != nil {
		return Outcome{}, err
	}
	command, what, ended := agentapi.CommandOSInstall, "installing the system", "The system is installed. "
	if op.Rec.Ask.OSImport != nil {
		command, what = agentapi.CommandOSImport, "importing the disks"
	}
	res, o, err := r.osCommand(ctx, op, command, what, func() (any, error) { return r.osWork(ctx, op) })
	if err == nil && o == done {
		r.keepScriptLogs(ctx, op, res, r.c.config.CollectLogs == LogsAlways)
		if op.Rec.Ask.OSImport != nil {
			ended = "The disks are imported: " + dumped(res.Manifest) + ". "
		}
		r.event(op, "step", "INFO", ended+r.told(ctx, op, res))
	}
	return o, err
}

// osCommand has the agent run a command of OS definitions, once. The outcome is done when it has succeeded; until then it says what
// is waited for. What was sent is found again by its key: by whoever goes on after this process, too. An agent that does not know of it
// was never told, if it is the same that the step began with; one that started anew has forgotten what it ran, and nothing is run twice.
// It may start anew between any two requests, so each of them says which start it is for.
func (r *runner) osCommand(ctx context.Context, op *Op, name, what string, work func() (any, error)) (res agentapi.OSResult, o Outcome, err error) {
	anew := fault.New(fault.Invalid, "%s: the agent was started anew in the middle of it, and nobody knows how far it had come. What was run is not run a second time: ask for the installation again", what)
	start, err := r.agentStart(ctx, op)
	switch {
	case errors.Is(err, agentapi.ErrConnection):
		o, err = r.silent(ctx, op, what, err)
		return res, o, err
	case err != nil:
		return res, o, err
	case start == "":
		return res, o, fault.New(fault.Invalid, "%s: the agent does not say which start of it this is, so that scripts might be run twice: build the Debian ramdisk of this version (ingot ramdisk build --kind debian), and ask again", what)
	case op.Rec.OS.Agent == "":
		op.Rec.OS.Agent = start // kept first: whoever comes back must know which agent was told
		return res, again(0, "the agent to be told"), nil
	case op.Rec.OS.Agent != start:
		return res, o, anew
	}
	var own error // of what is to be sent: no word of the agent's is in it
	raw, ended, err := r.command(ctx, op, ordered{name: name, what: what, to: start}, func() (any, error) {
		w, err := work()
		own = err
		return w, err
	})
	switch {
	case own != nil:
		return res, o, own
	case errors.Is(err, agentapi.ErrStartedAnew):
		return res, o, anew
	case errors.Is(err, agentapi.ErrConnection):
		o, err = r.silent(ctx, op, what, err)
		return res, o, err
	}
	op.Rec.OS.Silent, op.Rec.OS.Ended = time.Time{}, raw.CommandStatus == agentapi.Failed
	if len(raw.CommandResult) > 0 && json.Unmarshal(raw.CommandResult, &res) != nil {
		res = agentapi.OSResult{}
		if err == nil && ended {
			return res, o, fault.New(fault.Invalid, "%s: the agent's result cannot be read", what)
		}
	}
	switch {
	case err != nil:
		r.keepScriptLogs(ctx, op, res, r.c.config.CollectLogs != LogsNever)
		return res, o, err
	case !ended:
		r.showProgress(op, raw.Progress)
		return res, r.toEnd(op, "the agent to go on %s", what), nil
	}
	return res, done, nil
}

// agentStart is which start of the agent answers.
func (r *runner) agentStart(ctx context.Context, op *Op) (string, error) {
	c, err := r.agent(ctx, op)
	if err != nil {
		return "", err
	}
	defer c.Close()
	s, err := c.Status(ctx)
	return s.Instance, err
}

// silent is what becomes of an installation whose agent does not answer. A machine that is off says nothing more; one that is on is
// waited for a while.
func (r *runner) silent(ctx context.Context, op *Op, what string, cause error) (Outcome, error) {
	if is, err := r.power(ctx, op); err == nil && is == metal.PowerOff {
		return Outcome{}, fault.New(fault.Invalid, "%s: the machine is off, and its agent had not said that it ended", what)
	}
	os := op.Rec.OS
	if os.Silent.IsZero() {
		os.Silent = time.Now()
	}
	if limit := r.c.config.OSInstall.Silence; time.Since(os.Silent) >= limit {
		return Outcome{}, fault.New(fault.Invalid, "%s: the agent has not answered for %s: %s", what, limit, sentence(cause))
	}
	return again(r.c.config.Poll, "the agent to answer again, after: %s", sentence(cause)), nil
}

// Bounds of what an installation may say of itself: it may be a stranger's script that speaks.
const (
	maxStages  = 50
	maxStage   = 64
	maxMessage = 200
)

// showProgress tells on the node how far the installation says that it is, and of each stage in the history.
func (r *runner) showProgress(op *Op, p *agentapi.Progress) {
	if p == nil || p.Unit != "percent" {
		return
	}
	stage, message, _ := strings.Cut(p.What, ": ")
	stage, message = shortened(stage, maxStage), shortened(cmp.Or(p.Message, message), maxMessage)
	shown := map[string]any{"stage": stage, "percent": min(max(p.Done, 0), 100), "message": message}
	op.Change(func(n *metal.Node) {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo[metal.DeployProgressKey] = shown
	})
	if os := op.Rec.OS; stage != os.Stage && os.Stages < maxStages {
		os.Stage, os.Stages = stage, os.Stages+1
		r.event(op, "step", "INFO", fmt.Sprintf("The installation is at stage %q.", stage))
	}
}

// shortened is a stranger's text as one short line.
func shortened(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	if letters := []rune(s); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return s
}
