package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ingot/internal/agentapi"
)

// Command is one thing the agent can be asked to do.
type Command struct {
	// Async commands answer at once with RUNNING and go on by themselves; others answer when they are done.
	Async bool
	// Open commands need no token from a caller that showed the one certificate that is asked for.
	Open bool
	// Final: after it was done no other is taken, and the server stops when its result was fetched.
	Final bool
	// Run does it. params is a JSON object. The result is anything that marshals to JSON; a string becomes
	// the object {"result": …}. An error that is a *agentapi.CommandError is reported as it is, any other as
	// CommandExecutionError. progress may be called at any rate from any goroutine.
	//
	// An error with a method Result() any fails with what that gives as the result, too.
	//
	// ctx ends when the agent stops, not when the caller goes away.
	Run func(ctx context.Context, params json.RawMessage, progress func(agentapi.Progress)) (any, error)
}

// Error makes an error of the protocol. details is specific; code and message follow from class, which is
// one of the reference's §20.1.
func Error(class, format string, args ...any) *agentapi.CommandError {
	known, ok := classes[class]
	if !ok {
		known = classes["CommandExecutionError"]
	}
	return &agentapi.CommandError{Type: class, Code: known.code, Message: known.message, Details: fmt.Sprintf(format, args...)}
}

// classes gives code and message of the error classes. Source: agent protocol reference §20.1.
var classes = map[string]struct {
	code    int
	message string
}{
	"InvalidContentError":               {400, "Invalid request body"},
	"InvalidCommandError":               {400, "Invalid command"},
	"InvalidCommandParamsError":         {400, "Invalid command parameters"},
	"NotFound":                          {404, "Not found"},
	"CommandExecutionError":             {500, "Command execution failed"},
	"AgentIsBusy":                       {409, "Agent is busy"},
	"ImageDownloadError":                {500, "Error downloading image"},
	"ImageChecksumError":                {500, "Error verifying image checksum"},
	"ImageWriteError":                   {500, "Error writing image to device"},
	"InvalidImage":                      {500, "The provided image is not valid for use"},
	"SystemRebootError":                 {500, "Error rebooting system"},
	"BlockDeviceEraseError":             {500, "Error erasing block device"},
	"BlockDeviceError":                  {500, "Block device caused unknown error"},
	"VersionMismatch":                   {409, "Hardware managers version mismatch, reload agent with correct version"},
	"SoftwareRAIDError":                 {500, "Software RAID caused unknown error"},
	"HardwareManagerMethodError":        {500, "No HardwareManager found to handle method"},
	"HardwareManagerConfigurationError": {500, "Hardware manager configuration error"},
	"CleaningError":                     {500, "Clean step failed"},
	"DeploymentError":                   {500, "Deploy step failed"},
	"ServicingError":                    {500, "Service step failed"},
	"ProtectedDeviceError":              {500, "Protected device"},
	"OSInstallError":                    {500, "Work of an OS definition failed"},
	"DeviceNotFound":                    {404, "Error finding the disk or partition device to deploy the image onto"},
}

// refusals are the classes that a synchronous command answers as an HTTP error, having done nothing.
var refusals = map[string]bool{
	"InvalidContentError": true, "InvalidCommandError": true, "InvalidCommandParamsError": true,
}

// commandError makes the wire's error of any error.
func commandError(err error) *agentapi.CommandError {
	var e *agentapi.CommandError
	if errors.As(err, &e) {
		return e
	}
	return Error("CommandExecutionError", "%v", err)
}

// resultJSON makes command_result of what a command returned.
func resultJSON(c Command, short string, v any) (json.RawMessage, error) {
	if text, ok := v.(string); ok {
		if c.Async {
			text = short + ": " + text
		}
		v = map[string]string{"result": text}
	}
	return json.Marshal(v)
}

// faultText is how the protocol words an error that is answered by HTTP: "<message>: <details>".
func faultText(e *agentapi.CommandError) string { return e.Message + ": " + e.Details }

// find checks a command's name. The texts are the reference's §6.
func (s *Server) find(name string) (Command, string, *agentapi.CommandError) {
	extension, short, ok := strings.Cut(name, ".")
	if !ok {
		return Command{}, "", Error("InvalidCommandError", "Command name must be of the form <extension>.<name>")
	}
	if c, ok := s.commands[name]; ok {
		return c, short, nil
	}
	for other := range s.commands {
		if strings.HasPrefix(other, extension+".") {
			return Command{}, "", Error("InvalidCommandError", "Unknown command: %s", short)
		}
	}
	return Command{}, "", &agentapi.CommandError{Type: "RequestedObjectNotFoundError", Code: http.StatusNotFound,
		Message: "Not found", Details: fmt.Sprintf("Extension with id %s not found.", extension)}
}
