package conductor

import (
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// TestREQ09AWithheldComplaintNamesWhatIsLost: who goes on with an installation whose secret values are gone cannot look for them in what a
// failing script said, and shows none of it. It says which values make the same request tell more.
func TestREQ09AWithheldComplaintNamesWhatIsLost(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := osWorld(t, withAll)
		w.os.fails, w.os.at = "create ended with 3: the key is "+secretCanary, func(w *world) { w.held.lost = true }
		w.run(w.conductor("c1", nil))
		w.installFailed("lost while it ran", withheld, "The server that held the secret OS parameters root-key (os_parameters_secret) and the password for the personalization package "+
			"(personalization_user, personalization_password) has ended or lost them: give them again")
		kept := osWorld(t, withAll)
		kept.os.fails = "create ended with 3: the key is " + secretCanary
		kept.run(kept.conductor("c1", nil))
		kept.installFailed("kept", "the key is ******")
	})
}

// TestWhatIsLackingIsNamed: by what it is and where it is given; only what cannot be had.
func TestWhatIsLackingIsNamed(t *testing.T) {
	names := []string{"pw", metal.OSImportSecret + "user", metal.OSSecretParameter + "a", metal.OSImportSecret + "password", metal.OSPrivate + "p", metal.OSSecretParameter + "b"}
	want := "the secret OS parameters a, b (os_parameters_secret) and the private OS parameters p (os_parameters_private) and the user and password for the export " +
		"(os_import_user, os_import_password) and the secret values pw"
	if got := valueWords(names); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r, op := withSecrets(&keeping{lost: true}, metal.OSSecretParameter+"a")
	op.Rec.Ask.Secrets.Handle = "h"
	if got := r.refused(t.Context(), op, &agentapi.CommandError{Message: "no such key"}).Error(); got != withheld+". The server that held the secret OS parameters a (os_parameters_secret) has ended or lost them: give them again with the next request, and it tells what went wrong" {
		t.Error(got)
	}
	r, op = withSecrets(&keeping{values: map[string]string{"pw": "hunter2"}}, "pw")
	if got := r.complaint(t.Context(), op, "it is hunter2") + r.lacking(t.Context(), op); got != "it is "+secret.Mask {
		t.Error(got)
	}
}
