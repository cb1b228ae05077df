package channel

import (
	"context"
	"errors"
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// Source is what lies behind the paths for one end of one installation. What is not there is ErrNone, what is no more there is made by
// Gone, and what may be had later is fault.Unavailable.
type Source interface {
	// MetaData is a JSON document of what the machine is.
	MetaData(ctx context.Context) ([]byte, error)
	// Parameters are all that can be read now.
	Parameters(ctx context.Context) (osdef.Classes, error)
	// Parameter is one of them.
	Parameter(ctx context.Context, name string) (secret.Secret, error)
	// Script is one of the definition's own, by its path there.
	Script(ctx context.Context, name string) ([]byte, error)
	// Package tells of the personalization package.
	Package(ctx context.Context, what PackagePart) (secret.Secret, error)
	// Read takes the next message of the other end; nil: there is none.
	Read(ctx context.Context) ([]byte, error)
	// Write takes a message of this end: a progress, or something for the other end.
	Write(ctx context.Context, message []byte) error
}

// PackagePart is what is asked of the personalization package.
type PackagePart string

// The parts.
const (
	PackageURL      PackagePart = ""
	PackageUser     PackagePart = "user"
	PackagePassword PackagePart = "password"
)

// ErrNone is the fault for what is not there.
var ErrNone = fault.New(fault.NotFound, "Resource not found.")

// gone is the fault for what was there and is no more.
type gone struct{ sentence string }

func (g *gone) Error() string { return g.sentence }

// Gone makes it of a sentence for whoever asks, which holds no value.
func Gone(format string, args ...any) error { return &gone{fmt.Sprintf(format, args...)} }

// IsGone tells whether an error was made by Gone.
func IsGone(err error) bool {
	var g *gone
	return errors.As(err, &g)
}

// ErrOver is what is said of private and secret values, scripts and the pipe when the installation is over.
var ErrOver = Gone("The installation is over, and this was for it alone.")
