package cli

import (
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// Whatever people are told to type is a command.
func TestWaysAreCommands(t *testing.T) {
	a := &app{}
	for _, w := range ways {
		word, _, _ := strings.Cut(w.words, " ")
		if c, _, err := a.node().Find([]string{word}); err != nil || c.Name() != word {
			t.Errorf("there is no command ingot node %s: %v", word, err)
		}
	}
}

// From every state in which a node rests with a reason something leads on, and it is said.
func TestMending(t *testing.T) {
	for state, about := range metal.States {
		if about.Kind != metal.Failed {
			continue
		}
		if on := waysOn("n1", state); len(on) == 0 {
			t.Errorf("nothing leads on from %s", state)
		}
	}
	got := mending("n1", &client.States{ProvisionState: metal.CleanFailed}, true)
	for _, want := range []string{"ingot node logs n1", "--maintenance off", "manage n1 --wait and ingot node provide n1 --wait"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	// Nobody who mistyped a step is sent to lose an instance.
	got = mending("n1", &client.States{ProvisionState: metal.ServiceFailed}, false)
	if keep := strings.Index(got, "ingot node abort n1"); keep < 0 || keep > strings.Index(got, "undeploy") {
		t.Errorf("%q does not say first how the instance is kept", got)
	}
}
