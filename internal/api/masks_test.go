package api

import (
	"reflect"
	"testing"

	"ingot/internal/secret"
)

// TestMasksInsideTexts: secrets are masked inside longer texts too, and what is none stays. Source: RBAC reference, "Masking".
func TestMasksInsideTexts(t *testing.T) {
	for in, want := range map[string]string{
		"console=ttyS0 ipa-password=hunter2 quiet": "console=ttyS0 ipa-password=****** quiet",
		`{"auth_token": "hunter2", "a": 1}`:        `{"auth_token": "******", "a": 1}`,
		"https://h/i?x=1&token=hunter2&y=2":        "https://h/i?x=1&token=******&y=2",
		"adminPass: hunter2":                       "adminPass: ******",
		"http://u:hunter2@h/token=hunter2":         "http://u:******@h/token=******",
		"the token is in the drawer":               "the token is in the drawer",
		"secret":                                   "secret",
		"nofb nomodeset":                           "nofb nomodeset",
	} {
		if got := maskValue(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// TestSignaturesOfURLs are shown to who may say what is installed, and to nobody else.
func TestSignaturesOfURLs(t *testing.T) {
	for in, want := range map[string]string{
		"https://h/i?X-Amz-Date=1&X-Amz-Signature=5eed&x=2": "https://h/i?X-Amz-Date=1&X-Amz-Signature=******&x=2",
		"https://h/i?x-oss-signature=5eed":                  "https://h/i?x-oss-signature=******",
		"https://h/i?sv=1&sig=5eed%3D":                      "https://h/i?sv=1&sig=******",
		"https://h/i?temp_url_sig=5eed&temp_url_expires=7":  "https://h/i?temp_url_sig=******&temp_url_expires=7",
		`{"url": "https://h/i?a=1\u0026sig=5eed"}`:          `{"url": "https://h/i?a=1\u0026sig=******"}`,
		"https://h/i?design=big&x=sig":                      "https://h/i?design=big&x=sig",
	} {
		if got := maskUnsigned(map[string]any{"deep": []any{in}}); !reflect.DeepEqual(got, map[string]any{"deep": []any{want}}) {
			t.Errorf("%q is shown as %v, want %q", in, got, want)
		}
	}
}

// TestWhatWasShownIsKept: a client that sends back an object as it was shown changes nothing in it.
func TestWhatWasShownIsKept(t *testing.T) {
	stored := map[string]any{"args": "a password=x b", "deep": map[string]any{"password": "x", "list": []any{"http://u:p@h/"}}, "password": "x", "n": 1.0}
	shown := maskSecrets(stored)
	shown["new"] = "y"
	if err := refuseMasked(shown, stored, "instance_info"); err != nil {
		t.Fatal(err)
	}
	delete(shown, "new")
	if !reflect.DeepEqual(shown, stored) {
		t.Errorf("it became %v", shown)
	}
	if err := refuseMasked(map[string]any{"x": secret.Mask}, stored, "instance_info"); err == nil {
		t.Error("a mask over nothing is taken")
	}
	for _, v := range []any{"b password=******", map[string]any{"password": secret.Mask, "list": []any{}}} {
		if err := refuseMasked(map[string]any{"args": v, "deep": v}, stored, "instance_info"); err == nil {
			t.Errorf("a mask beside what is new is taken: %v", v)
		}
	}
}
