package conductor

import (
	"cmp"
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
	if said == "" || !op.hides() && op.Rec.OS == nil {
		return said
	}
	values, err := r.hiddenFrom(ctx, op)
	if err != nil {
		return withheld
	}
	return scrub(said, values...)
}

// hiddenFrom are the values of an operation that nothing may repeat: those that are stored nowhere, and private OS parameters.
func (r *runner) hiddenFrom(ctx context.Context, op *Op) (values []string, err error) {
	if op.Rec.OS != nil {
		if values, err = r.osSecrets(ctx, op); err != nil {
			return nil, err
		}
	}
	ref := op.Rec.Ask.Secrets
	if ref == nil {
		return values, nil
	}
	if r.c.secrets == nil {
		return nil, fault.New(fault.NotSupported, "this server keeps no secret values")
	}
	for _, name := range ref.Names {
		v, err := r.c.secrets.StepSecret(ctx, ref, op.row.UUID, name)
		if err != nil {
			return nil, err
		}
		values = append(values, v.Expose())
	}
	return values, nil
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
	said := r.complaint(ctx, op, sentence(err))
	for _, known := range []error{agentapi.ErrBusy, agentapi.ErrConnection, agentapi.ErrSuperseded, agentapi.ErrStartedAnew} {
		if errors.Is(err, known) {
			return fault.Wrap(fault.KindOf(err), known, "%s", said)
		}
	}
	return fault.New(fault.KindOf(err), "%s", said)
}

const withheld = "its words are withheld, for they might repeat a secret value that is not here any more to be looked for"

// scrub takes values out of a text, in the forms in which tools write them. The longest form goes first: a shorter one may be a part of
// it, and the rest would stay to be read.
func scrub(text string, values ...string) string {
	var forms []string
	for _, v := range values {
		if v != "" {
			forms = append(forms, formsOf(v)...)
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	forms = slices.Compact(forms)
	end := cutOff(text, forms)
	text, end = text[:len(text)-end], min(end, 1)
	for _, form := range forms {
		text = masked(text, form)
	}
	return text + strings.Repeat(secret.Mask, end)
}

// cutOff is how much at the end of a text is a form or the beginning of one: it was cut off there.
func cutOff(text string, forms []string) int {
	most := 0
	for _, form := range forms {
		for n := len(form); n >= max(minCut, most+1); n-- {
			if strings.HasSuffix(text, form[:n]) {
				most = n
				break
			}
		}
	}
	return most
}

// formsOf are the forms in which tools write a value.
func formsOf(value string) []string {
	quoted := strconv.Quote(value)
	asJSON, _ := json.Marshal(value) // a string can always be written
	return []string{value, strings.Trim(value, " \t\r\n"), quoted[1 : len(quoted)-1], strings.Trim(string(asJSON), `"`), url.QueryEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), hex.EncodeToString([]byte(value)),
		withoutControls(value, -1), withoutControls(value, '?')} // as texts of strangers are cleaned here
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
