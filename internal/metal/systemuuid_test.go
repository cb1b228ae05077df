package metal

import "testing"

func TestSystemUUID(t *testing.T) {
	for text, want := range map[string]string{
		" 4C4C4544-0038-5910-8034-B2C04F4D3532 ": "4c4c4544-0038-5910-8034-b2c04f4d3532",
		"00000000-0000-0000-0000-000000000000":   "",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF":   "",
		"4c4c4544003859108034b2c04f4d3532":       "",
		"4c4c4544-0038-5910-8034-b2c04f4d353g":   "",
		"4c4c-45440038-5910-8034-b2c04f4d3532":   "",
		"none":                                   "", "": "",
	} {
		if got := SystemUUID(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
