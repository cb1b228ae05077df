package osinstall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// lastLines is how much of what a script said goes with its result.
const lastLines = 20

// Runner starts scripts and waits for their ends. When ctx ends, everything that came of a script is killed, and the error says so.
type Runner interface {
	// Network makes the network of a confined script, which has nothing on it.
	Network() (Network, error)
	// Run runs a script confined.
	Run(context.Context, Script) (code int, err error)
	// RunTrusted runs a script with the rights of the ramdisk.
	RunTrusted(context.Context, Script) (code int, err error)
}

// Network is a network that only this process and one script are on.
type Network interface {
	Listen(network, address string) (net.Listener, error)
	Close() error
}

// Script is one start of a script.
type Script struct {
	Folder         string // of the definition; the script begins in it, and cannot change it
	Path           string // of the script, below Folder
	Args           []string
	Env            []osdef.Variable // all of it
	Devices        []string         // block devices, by the paths that the environment has; a confined script has no others
	Stdin          io.Reader        // nil: nothing
	Stdout, Stderr io.Writer        // one pipe, if they are the same
	ExtraFiles     []*os.File       // from descriptor 3 on
	Network        Network          // of a confined script; nil: one with nothing on it
}

// job is one script to run.
type job struct {
	part   osdef.Part
	disk   int        // export and import
	stdin  io.Reader  // nil: nothing
	stdout io.Writer  // nil: the log, where standard error goes always
	files  []*os.File // from descriptor 3 on
	sizeFD int        // export: which of them takes the size; 0: none
}

// runParts runs the parts of the action, all at once.
func (s *session) runParts(ctx context.Context) error {
	var jobs []job
	for _, p := range s.parts {
		jobs = append(jobs, job{part: p})
	}
	return s.run(ctx, jobs...)
}

// run runs scripts at once. The first that fails stops the others, and its failure is the one that is told.
func (s *session) run(ctx context.Context, jobs ...job) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	scripts := make([]agentapi.OSScript, len(jobs))
	for i, j := range jobs {
		all.Go(func() {
			var err error
			if scripts[i], err = s.runOne(ctx, j); err != nil {
				stop(err)
			}
		})
	}
	all.Wait()
	s.result.Scripts = append(s.result.Scripts, scripts...)
	return context.Cause(ctx)
}

// confined tells whether a part is: where the definition is trusted that can be waived, but for verify.
func (s *session) confined(p osdef.Part) bool {
	return p.Confined && (!s.work.Definition.Unsafe || s.action == osdef.Verify)
}

// runOne runs one script to its end. What it said is in the result, and kept.
func (s *session) runOne(ctx context.Context, j job) (agentapi.OSScript, error) {
	d := s.work.Definition
	confined := s.confined(j.part)
	out := agentapi.OSScript{Name: j.part.Script, Confined: confined, Code: -1}
	env, err := osdef.Environment(s.start(j))
	if err != nil {
		return out, err
	}
	heard := &hearing{}
	said := heard.stream()
	script := Script{Folder: s.folder, Path: j.part.Script, Env: env, Stdin: j.stdin, Stdout: j.stdout, Stderr: said, ExtraFiles: j.files}
	if j.stdout == nil {
		script.Stdout = said
	}
	if s.action == osdef.Verify {
		script.Args = []string{"parameters"} // Source: ganeti-os-interface(7), "verify"
	}
	for _, d := range s.disks {
		script.Devices = append(script.Devices, d.Path)
	}
	how := s.installer.Runner.RunTrusted
	if confined {
		script.Network = s.served.network()
		how = s.installer.Runner.Run
	}
	log := s.installer.Log.With("script", j.part.Script, "confined", confined)
	log.Info("script of an OS definition starts", "definition", d.Name, "action", string(s.action))
	s.progress.say(agentapi.OSProgress{Stage: j.part.Script, Message: running})
	began := time.Now()
	out.Code, err = how(ctx, script)
	out.Seconds = time.Since(began).Seconds()
	said.end()
	text := s.hide.text(heard.text())
	out.Lines = last(s.hide, text, lastLines)
	s.installer.Logs.keep(s.action, out, text)
	log.Info("script of an OS definition ended", "code", out.Code, "seconds", int(out.Seconds))
	switch cause := context.Cause(ctx); {
	case cause != nil: // it was stopped, for what somebody else did
		if err != nil && err.Error() != cause.Error() {
			log.Warn("script was stopped, but not as it should be", "error", s.hide.text(err.Error()))
		}
		return out, cause
	case err != nil:
		out.Code = -1
		return out, fmt.Errorf("the script %s of the OS definition %s did not run to its end: %w", out.Name, d.Name, err)
	case out.Code != 0:
		return out, &exit{definition: d.Name, verify: s.action == osdef.Verify, script: out}
	}
	s.progress.say(agentapi.OSProgress{Stage: j.part.Script, Percent: 100, Message: done})
	return out, nil
}

// exit is the failure of a script that says so itself.
type exit struct {
	definition string
	verify     bool
	script     agentapi.OSScript
}

func (e *exit) Error() string {
	if e.verify {
		return fmt.Sprintf("the OS definition %s refuses its parameters: its script %s ended with code %d", e.definition, e.script.Name, e.script.Code)
	}
	return fmt.Sprintf("the script %s of the OS definition %s ended with code %d", e.script.Name, e.definition, e.script.Code)
}

// failure is what a command fails with: the protocol's error, and the result as far as there is one.
type failure struct {
	*agentapi.CommandError
	result agentapi.OSResult
}

func (f *failure) Unwrap() error { return f.CommandError }

// Result is what there is of the command's result.
func (f *failure) Result() any { return f.result }

// maxDetails bounds an error, bytes: of longer ones a conductor keeps the beginning, and what a script said last is the end.
const maxDetails = 1900

// failed makes a failure: a sentence, and what the scripts said last that it is about.
func (s *session) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		err = errors.New("the agent ends, and with it what ran")
	}
	words := s.hide.text(err.Error())
	if len(words) > maxDetails/2 {
		words = strings.ToValidUTF8(words[:maxDetails/2], "") + "…"
	}
	var ended *exit
	for _, script := range s.result.Scripts {
		about := script.Code != 0 // all that were stopped
		if errors.As(err, &ended) {
			about = script.Name == ended.script.Name
		}
		head := ".\nWhat " + script.Name + " said last:"
		if !about || len(script.Lines) == 0 || len(words)+len(head) > maxDetails-100 {
			continue
		}
		words += head
		room := maxDetails - len(words)
		first := len(script.Lines)
		for first > 0 && room > len(script.Lines[first-1]) {
			first--
			room -= len(script.Lines[first]) + 1
		}
		words += "\n" + strings.Join(script.Lines[first:], "\n")
	}
	return &failure{server.Error("OSInstallError", "%s", words), s.result}
}
