package conductor

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// Secrets gives the values that step arguments only name.
type Secrets interface {
	// StepSecret is the value called name of an operation. An error says which values to give again;
	// fault.Unavailable if they may be had later.
	StepSecret(ctx context.Context, ref *metal.SecretRef, operation, name string) (secret.Secret, error)
	// Release tells whoever keeps the values that the operation has ended.
	Release(ctx context.Context, ref *metal.SecretRef, operation string)
}

// resolveArgs puts the values of secrets into a copy of a step's arguments: one of the form {"secret": "NAME"} is
// replaced, at any depth. It is called just before the arguments leave for the agent or the BMC, so that no record,
// no history and no log ever holds a value.
func (r *runner) resolveArgs(ctx context.Context, op *Op, args map[string]any) (map[string]any, error) {
	if args == nil {
		return nil, nil
	}
	out := make(map[string]any, len(args))
	for k, v := range args {
		resolved, err := r.resolveValue(ctx, op, v)
		if err != nil {
			return nil, err
		}
		out[k] = resolved
	}
	return out, nil
}

func (r *runner) resolveValue(ctx context.Context, op *Op, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		name, named := metal.SecretName(v)
		if !named {
			return r.resolveArgs(ctx, op, v)
		}
		if r.c.secrets == nil || op.Rec.Ask.Secrets == nil {
			return nil, fault.New(fault.NotSupported, "the step names the secret value %q, and none was given with the request", name)
		}
		value, err := r.c.secrets.StepSecret(ctx, op.Rec.Ask.Secrets, op.row.UUID, name)
		if err != nil {
			return nil, err
		}
		return value.Expose(), nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			resolved, err := r.resolveValue(ctx, op, v[i])
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	}
	return v, nil
}

// UseSecrets lets steps name secret values. Call it before Run.
func (c *Conductor) UseSecrets(s Secrets) { c.secrets = s }

// secretArgs are the arguments of a step, by name, that hold a secret value somewhere: an agent of ours does not
// repeat them in its results.
func secretArgs(args map[string]any) []string {
	var out []string
	for name, v := range args {
		if metal.SecretLooking(name) || len(metal.SecretNames([]metal.Step{{Args: map[string]any{name: v}}})) > 0 {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// scrubbed is what an agent or a BMC said, without the operation's secret and private values: a tool may repeat its arguments
// in its complaint. Where the values cannot be had to look for them, nothing of the text is shown.
func (r *runner) scrubbed(ctx context.Context, op *Op, said string) string {
	said = r.withoutPrivate(ctx, op, said)
	ref := op.Rec.Ask.Secrets
	if ref == nil || said == "" {
		return said
	}
	if r.c.secrets == nil {
		return withheld
	}
	for _, name := range ref.Names {
		v, err := r.c.secrets.StepSecret(ctx, ref, op.row.UUID, name)
		if err != nil {
			return withheld
		}
		said = scrub(said, v.Expose())
	}
	return said
}

// scrubbedObject is a copy of what a driver or an agent made of a step's arguments, without the operation's secret values.
func (r *runner) scrubbedObject(ctx context.Context, op *Op, m map[string]any) map[string]any {
	if !op.hides() {
		return m
	}
	var clean func(v any) any
	clean = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			out := make(map[string]any, len(v))
			for key, inner := range v {
				out[key] = clean(inner)
			}
			return out
		case []any:
			out := make([]any, len(v))
			for i := range v {
				out[i] = clean(v[i])
			}
			return out
		case string:
			return r.scrubbed(ctx, op, v)
		}
		return v
	}
	return clean(m).(map[string]any) //nolint:forcetypeassert // of a map it makes a map
}

// refused is an error of an agent or a BMC that was given arguments, without the operation's secret values. Its cause is
// left behind then, for it might repeat one; what the conductor tells errors apart by stays.
func (r *runner) refused(ctx context.Context, op *Op, err error) error {
	if !op.hides() || errors.Is(err, errOver) {
		return err
	}
	said := r.scrubbed(ctx, op, sentence(err))
	for _, known := range []error{agentapi.ErrBusy, agentapi.ErrConnection, agentapi.ErrSuperseded} {
		if errors.Is(err, known) {
			return fault.Wrap(fault.KindOf(err), known, "%s", said)
		}
	}
	return fault.New(fault.KindOf(err), "%s", said)
}

const withheld = "its words are withheld, for they might repeat a secret value that is not here any more to be looked for"

// scrub takes a value out of a text, in the forms in which tools write one.
func scrub(text, value string) string {
	if value == "" {
		return text
	}
	quoted := strconv.Quote(value)
	asJSON, _ := json.Marshal(value) // a string can always be written
	forms := []string{value, strings.Trim(value, " \t\r\n"), quoted[1 : len(quoted)-1], strings.Trim(string(asJSON), `"`), url.QueryEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), hex.EncodeToString([]byte(value))}
	forms = append(forms, withoutControls(value, -1), withoutControls(value, '?')) // as texts of strangers are cleaned here
	for _, form := range forms {
		text = masked(text, form)
	}
	for _, form := range forms { // a text that was cut off may end in the beginning of one
		for n := len(form) - 1; n >= minCut; n-- {
			if rest, cut := strings.CutSuffix(text, form[:n]); cut {
				return rest + secret.Mask
			}
		}
	}
	return text
}

// masked puts the mask in the place of a form. A short one is only one where it is a word by itself: "t" is in every sentence.
func masked(text, form string) string {
	switch {
	case form == "":
		return text
	case len(form) >= minCut:
		return strings.ReplaceAll(text, form, secret.Mask)
	}
	var out strings.Builder
	from := 0
	for {
		i := strings.Index(text[from:], form)
		if i < 0 {
			return out.String() + text[from:]
		}
		at, end := from+i, from+i+len(form)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		out.WriteString(text[from:at])
		if inWord(before) || inWord(after) {
			out.WriteString(form)
		} else {
			out.WriteString(secret.Mask)
		}
		from = end
	}
}

func inWord(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' }

// minCut is how much of a value at the end of a text is taken for a value that was cut off, in bytes.
const minCut = 4

// withoutControls puts with in the place of control characters; -1: nothing.
func withoutControls(s string, with rune) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && (c != '\n' || with != -1) || c == 0x7f {
			return with
		}
		return c
	}, s)
}
