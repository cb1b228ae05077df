package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

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

// What waits is aborted before anything is lost; what takes an instance away comes last and says so; nobody is offered what is refused.
func TestWaysOn(t *testing.T) {
	for state := range metal.States {
		on := waysOn("n1", state)
		if _, ok := metal.Next(state, metal.EventAbort); ok && state != metal.ServiceFailed && (len(on) == 0 || on[0] != "ingot node abort n1") {
			t.Errorf("%s: %q does not begin with abort", state, on)
		}
		for i, way := range on {
			if strings.Contains(way, "undeploy") && (i != len(on)-1 || !strings.Contains(way, "away")) {
				t.Errorf("%s: %q does not end with undeploy and what it does", state, on)
			}
		}
	}
	if on := waysOn("n1", metal.Cleaning); len(on) > 0 {
		t.Errorf("cleaning: %q is offered", on)
	}
	if on := waysOn("n1", metal.RescueWait); len(on) != 2 {
		t.Errorf("rescue wait: %q", on)
	}
}

// A failed rescue keeps no logs; whoever looks for them is sent to the console.
func TestRescueLogs(t *testing.T) {
	if got := mending("n1", &client.States{ProvisionState: metal.RescueFailed}, false); !strings.Contains(got, "console with its BMC") {
		t.Errorf("%q names no console", got)
	}
	_, err := chooseLog("n1", nil, "")
	var f *failure
	if !errors.As(err, &f) || !strings.Contains(f.hint, "a rescue with a password") {
		t.Errorf("%v does not tell why there may be none", err)
	}
}

// A node in rescue is said to be so, and how that ends.
func TestWhyRescue(t *testing.T) {
	got := strings.Join(whySentences("n1", &metal.Why{State: metal.Rescue}, time.Now()), "\n")
	if !strings.Contains(got, "Node n1 is in rescue.") || !strings.Contains(got, "ingot node unrescue n1") {
		t.Error(got)
	}
}
