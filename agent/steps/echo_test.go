package steps

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEcho(t *testing.T) {
	for step, want := range map[string]string{
		`{"interface":"deploy","step":"write_image","priority":80,"args":{"configdrive":"secret","image_info":{"id":1.50}},"x":1}`: `{"args":{"image_info":{"id":1.50}},"interface":"deploy","priority":80,"step":"write_image"}`,
		`{"step":"a","args":{"b":1,"c":{"d":"secret"}},"ingot_secret_args":["c"]}`:                                                 `{"args":{"b":1},"step":"a"}`,
		`{"step":"a","args":{"b":"secret"},"ingot_secret_args":"b"}`:                                                               `{"step":"a"}`,
		`{"step":"a","args":null}`:                                              `{"step":"a"}`,
		`{"step":"a","args":5}`:                                                 `{"step":"a"}`,
		`{"step":"a","args":{"configdrive":"secret"}}`:                          `{"args":{},"step":"a"}`,
		`{"step":"a","args":{"b":"` + strings.Repeat("x", maxEcho) + `"}}`:      `{"step":"a"}`,
		`{"interface":"deploy","step":"erase_devices","requires_ramdisk":true}`: `{"interface":"deploy","step":"erase_devices"}`,
	} {
		if got := string(jsonOf(t, echo(json.RawMessage(step)))); got != want {
			t.Errorf("%.200s: %.200s, want %s", step, got, want)
		}
	}
}
