package conductor

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Values that are stored nowhere are lost with the server that held them. Who is told gives them again, and needs their names for it.

// needAgain says which values of an installation are lost, by their own names.
func needAgain(parameters, credentials []string) error {
	var names []string
	for _, n := range parameters {
		names = append(names, metal.OSSecretParameter+n)
	}
	for _, n := range credentials {
		names = append(names, metal.OSCredential+n)
	}
	return fault.New(fault.Invalid, "%s are lost: the server that held them was started anew, or a day has passed since. Ask for the installation again, and give them again", valueWords(names))
}

// valueWords names values of an operation as whoever gave them knows them: what they are, and where they are given.
func valueWords(names []string) string {
	var what []string
	for _, kind := range []struct{ prefix, says, between string }{
		{metal.OSSecretParameter, "the secret OS parameters %s (os_parameters_secret)", ", "},
		{metal.OSPrivate, "the private OS parameters %s (os_parameters_private)", ", "},
		{metal.OSCredential, "the %s for the personalization package (personalization_user, personalization_password)", " and "},
		{metal.OSImportSecret, "the %s for the export (os_import_user, os_import_password)", " and "},
		{"", "the secret values %s", ", "},
	} {
		var of, others []string
		for _, full := range names {
			if name, is := strings.CutPrefix(full, kind.prefix); is {
				of = append(of, name)
			} else {
				others = append(others, full)
			}
		}
		if names = others; len(of) > 0 {
			what = append(what, fmt.Sprintf(kind.says, strings.Join(of, kind.between)))
		}
	}
	return strings.Join(what, " and ")
}

// complaint is what an agent or a BMC complains of, scrubbed. Where it must be withheld, it says which values are not to be had: with them
// the same request tells more.
func (r *runner) complaint(ctx context.Context, op *Op, said string) string {
	text := r.scrubbed(ctx, op, said)
	if text == withheld {
		text += r.lacking(ctx, op)
	}
	return text
}

// lacking says which values of an operation cannot be had, behind a sentence that says why they are needed; "" if all can.
func (r *runner) lacking(ctx context.Context, op *Op) string {
	ref := op.Rec.Ask.Secrets
	if ref == nil {
		return ""
	}
	var names []string
	for _, name := range ref.Names {
		if r.c.secrets == nil {
			names = append(names, name)
		} else if _, err := r.c.secrets.StepSecret(ctx, ref, op.row.UUID, name); err != nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ". The server that held " + valueWords(names) + " has ended or lost them: give them again with the next request, and it tells what went wrong"
}
