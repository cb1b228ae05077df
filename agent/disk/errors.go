package disk

import (
	"context"
	"errors"
	"fmt"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// The types of command errors this room gives, with their generic messages. Source: agent protocol
// reference §20.1.
const (
	downloadError = "ImageDownloadError"
	checksumError = "ImageChecksumError"
	writeError    = "ImageWriteError"
	invalidImage  = "InvalidImage"
	deployError   = "DeploymentError"
	paramsError   = "InvalidCommandParamsError"
	executeError  = "CommandExecutionError"
)

var messages = map[string]string{
	downloadError: "Error downloading image",
	checksumError: "Error verifying image checksum",
	writeError:    "Error writing image to device",
	invalidImage:  "The provided image is not valid for use",
	deployError:   "Deploy step failed",
	paramsError:   "Invalid command parameters",
	executeError:  "Command execution failed",
}

func fail(kind, format string, args ...any) *agentapi.CommandError {
	code := 500
	if kind == paramsError {
		code = 400
	}
	return &agentapi.CommandError{Type: kind, Code: code, Message: messages[kind], Details: fmt.Sprintf(format, args...)}
}

// as makes err a command error of the given type, unless it is one already or the work was cancelled.
func as(kind string, err error) error {
	var c *agentapi.CommandError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &c):
		return c
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(executeError, "Writing the image was cancelled.")
	}
	if public, ok := fault.PublicOf(err); ok {
		return fail(kind, "%s", public)
	}
	return fail(kind, "%s", err)
}

// named says of which image a refusal is.
func named(id string, err error) error {
	var c *agentapi.CommandError
	if !errors.As(err, &c) || c.Type != invalidImage || id == "" {
		return err
	}
	named := *c
	named.Details = fmt.Sprintf("Image %s is refused. %s", id, c.Details)
	return &named
}

// refused types what image's readers say.
func refused(err error) error {
	switch fault.KindOf(err) {
	case fault.TooLarge:
		return as(writeError, err)
	case fault.Conflict: // not the same file throughout
		return as(downloadError, err)
	}
	return as(invalidImage, err)
}
