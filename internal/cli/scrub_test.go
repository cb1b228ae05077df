package cli

import (
	"strings"
	"testing"
)

func TestScrubText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"GET https://user:canary@host/x.raw", "GET https://******@host/x.raw"},
		{"at http://h/i.iso?expires=1&sig=canary then", "at http://h/i.iso?****** then"},
		{"agent_token=canary, node=n1", "agent_token=******, node=n1"},
		{`{"ipmi_password": "canary two", "a": 1}`, `{"ipmi_password": ******, "a": 1}`},
		{`{\"redfish_password\": \"canary\"}`, `{\"redfish_password\": ******}`},
		{"Authorization: Basic Y2FuYXJ5Y2FuYXJ5", "Authorization: Basic ******"},
		{"curl -H 'X-Auth-Token: canary'", "curl -H 'X-Auth-Token: ******"},
		{"a\n-----BEGIN EC PRIVATE KEY-----\ncanary\n-----END EC PRIVATE KEY-----\nb", "a\n******\nb"},
		{"-----BEGIN PRIVATE KEY-----\ncanary cut off", "******"},
		{"step write image is done: 5 GiB of 5 GiB", "step write image is done: 5 GiB of 5 GiB"},
		{"https://host/v1/nodes", "https://host/v1/nodes"},
	} {
		if got := scrubText(c.text); got != c.want {
			t.Errorf("%q\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestScrubJSON(t *testing.T) {
	got, err := scrubJSON(map[string]any{"name": "n1", "driver_info": map[string]any{"redfish_password": "canary", "redfish_address": "https://bmc"},
		"instance_info": map[string]any{"configdrive": map[string]any{"user_data": "canary"}, "image_source": "http://u:canary@h/i", "image_url": "http://h/i?sig=canary"},
		"list":          []any{map[string]any{"X-Auth-Token": "canary"}}, "empty_secret": "", "n": 12345678901234567})
	if err != nil || strings.Contains(string(got), "canary") {
		t.Errorf("%s, %v", got, err)
	}
	for _, want := range []string{`"redfish_address": "https://bmc"`, `"empty_secret": ""`, `"n": 12345678901234567`, `"image_source": "http://******@h/i"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
}

func FuzzScrubText(f *testing.F) {
	f.Add("x password=", " and more")
	f.Add(`{"token": "`, `"}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 10_000 {
			return
		}
		got := scrubText(before + " password=canary " + after)
		if strings.Contains(got, "password=canary") {
			t.Errorf("%q", got)
		}
	})
}
