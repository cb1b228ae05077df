package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
)

// The exit statuses.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitOperation   = 4 // the server did what was asked and the operation failed
	exitUnreachable = 5
)

// failure is an error with a hint for a person and, where the error itself does not say, an exit status.
type failure struct {
	err  error
	hint string
	code int // 0: by the error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// hint adds what to do next. The outermost hint is the one that is shown.
func hint(err error, format string, args ...any) error {
	return &failure{err: err, hint: fmt.Sprintf(format, args...)}
}

// Hint adds what to do next to the error of a command that is not of this room.
func Hint(err error, format string, args ...any) error { return hint(err, format, args...) }

// usagef is an error in how a command was called.
func usagef(format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), code: exitUsage}
}

// usage makes err an error in how cmd was called and points to its help.
func usage(cmd *cobra.Command, err error) error {
	return &failure{err: err, code: exitUsage, hint: cmd.CommandPath() + " --help shows how it is called"}
}

// Usage makes err an error in how a command that is not of this room was called.
func Usage(cmd *cobra.Command, err error) error { return usage(cmd, err) }

// operationFailed is an operation that ended in failure; text is the node's last_error.
func operationFailed(format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), code: exitOperation}
}

// Exit prints err with its hint to w and gives the exit status; 0 for nil. It also knows the errors of the
// command library itself, such as an unknown command.
func Exit(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	text, tip, code := explain(err)
	fmt.Fprintf(w, "error: %s\n", clean(text))
	if tip != "" {
		fmt.Fprintf(w, "hint: %s\n", clean(tip))
	}
	return code
}

func explain(err error) (text, tip string, code int) {
	text, tip, code = err.Error(), "", exitFailure
	var (
		flt *fault.Error
		far *client.Unreachable
		ref *client.Refusal
	)
	if errors.As(err, &flt) {
		text = before(text, flt) + flt.Public
	}
	switch {
	case errors.As(err, &far):
		text += ": " + rootCause(far.Cause)
		tip, code = unreachableTip(far.Cause), exitUnreachable
	case flt == nil:
		if isLibraryUsage(text) {
			tip, code = "ingot --help lists the commands", exitUsage
		}
	case flt.Kind == fault.Unauthenticated:
		tip = loginTip(text)
	case flt.Kind == fault.Invalid && strings.Contains(text, "has several projects"):
		tip = loginTip(text)
	case flt.Kind == fault.Forbidden:
		tip = forbiddenTip(text)
	case flt.Kind == fault.NoHost:
		tip = "ingot conductor list shows who is alive, and ingot driver list what they serve"
	case flt.Kind == fault.NotFound:
		code = exitNotFound
	case flt.Kind == fault.Locked:
		tip = "another operation is running: ingot node why NODE tells which, and what it waits for"
	case flt.Kind == fault.NotAcceptable:
		tip = "the server is older than this client, or no Ingot"
	case flt.Kind == fault.Internal && errors.As(err, &ref) && ref.RequestID != "":
		tip = "the server's log has more under request " + ref.RequestID
	}
	// What the command itself said wins over what the error's kind suggests: the outermost hint and status.
	for e, hinted, coded := err, false, false; e != nil; e = errors.Unwrap(e) {
		f, ok := e.(*failure) //nolint:errorlint // one link of the chain at a time
		if !ok {
			continue
		}
		if !hinted && f.hint != "" {
			tip, hinted = f.hint, true
		}
		if !coded && f.code != 0 {
			code, coded = f.code, true
		}
	}
	return text, tip, code
}

// before is what was said around a fault ("port …: "), which its Public sentence alone would lose.
func before(text string, f *fault.Error) string {
	if head, ok := strings.CutSuffix(text, f.Error()); ok {
		return head
	}
	return ""
}

// rootCause is the innermost error: "connection refused" says more than the layers around it.
func rootCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// isLibraryUsage knows cobra's own complaints, which have no type. Source: spf13/cobra v1.10, command.go
// and args.go.
func isLibraryUsage(text string) bool {
	for _, s := range []string{"unknown command ", "unknown flag", "unknown shorthand flag", "flag needs an argument",
		"invalid argument ", "required flag(s) ", "accepts ", "requires at least "} {
		if strings.HasPrefix(text, s) {
			return true
		}
	}
	return false
}
