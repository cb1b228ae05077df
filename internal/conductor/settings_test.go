package conductor

import (
	"testing"

	"ingot/internal/metal"
)

// TestPasswordSettingsAreNotKept: should a BMC tell a password among its settings, it is not kept, whatever type it says it is of.
func TestPasswordSettingsAreNotKept(t *testing.T) {
	value := func(s string) *string { return &s }
	list := []metal.BIOSSetting{{Name: "HT", Value: value("on")}, {Name: "Setup", Value: value("x"), Registry: metal.BIOSRegistry{Type: "Password"}},
		{Name: "AdminPassword", Value: value("x")}, {Name: "None"}}
	(&runner{}).hideSettings(t.Context(), &Op{}, list)
	if list[0].Value == nil || *list[0].Value != "on" || list[1].Value != nil || list[2].Value != nil || list[3].Value != nil {
		t.Errorf("%+v", list)
	}
}
