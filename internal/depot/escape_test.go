package depot

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// hostile are values that somebody could try to end a line, a word or a quote with.
var hostile = []string{"a\nreboot", "a\rb", "a\x00b", "${net0/mac}", "$(reboot)", "a && reboot", "a || reboot", "a; reboot", "a'b", `a"b`, `a\b`, "a`b`", "a # b", "é", "\u202e",
	"a\tb", "{{.Node}}", "a*", "?", "<x>", "\x7f", "a\\\nb", "${a:uristring}", "';reboot;'", strings.Repeat("x", MaxKernelParams+1)}

func TestTrapKernelAppendParams(t *testing.T) {
	for _, s := range hostile {
		if err := CheckKernelParams(s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.40q: %v", s, err)
		}
		if line, err := NetworkKernelLine(s); err == nil {
			t.Errorf("%.40q becomes %q", s, line)
		}
		for _, say := range []func(string) (string, error){ipxeParams, grubParams} {
			if len(s) > MaxKernelParams {
				continue
			}
			if out, err := say(s); err == nil {
				t.Errorf("%.40q becomes %q", s, out)
			}
		}
		if word, err := scriptWord("word", s); err == nil && len(s) <= maxWord {
			t.Errorf("%.40q is the word %q", s, word)
		}
	}
}

// TestTrapTemplateLanguage: whatever parameters pass, each script has its own lines and no others, and the words
// arrive as they are.
func TestTrapTemplateLanguage(t *testing.T) {
	s := &Scripts{}
	plain, err := s.IPXE(boot(""), "http://192.0.2.1/netboot/KEY")
	if err != nil {
		t.Fatal(err)
	}
	plainGrub, err := s.Grub(boot(""), "/KEY")
	if err != nil {
		t.Fatal(err)
	}
	any := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,80}`), rapid.StringMatching(`[a-z0-9=., -]{0,80}`), rapid.SampledFrom(hostile))
	rapid.Check(t, func(t *rapid.T) {
		params := any.Draw(t, "params")
		line, err := KernelLine(nil, params)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%q: %v", params, err)
			}
			return
		}
		b := boot(line)
		ipxe, err := s.IPXE(b, "http://192.0.2.1/netboot/KEY")
		if err != nil {
			t.Fatalf("%q: %v", params, err)
		}
		grub, err := s.Grub(b, "/KEY")
		if err != nil {
			t.Fatalf("%q: %v", params, err)
		}
		words := strings.Join(strings.Fields(params), " ")
		if got := bytes.Replace(ipxe, []byte("/kernel "+words), []byte("/kernel "), 1); !bytes.Equal(got, plain) {
			t.Fatalf("%q makes\n%s", params, ipxe)
		}
		quoted := ""
		if words != "" {
			quoted = "'" + strings.ReplaceAll(words, " ", "' '") + "'"
		}
		if got := bytes.Replace(grub, []byte("/kernel "+quoted), []byte("/kernel "), 1); !bytes.Equal(got, plainGrub) {
			t.Fatalf("%q makes\n%s", params, grub)
		}
		if strings.ContainsAny(line, scriptSpecial+"\n\r\x00") {
			t.Fatalf("%q passed", line)
		}
	})
}

func boot(params string) *metal.NetworkBoot {
	return &metal.NetworkBoot{NodeUUID: "11111111-0000-4000-8000-000000000000", Interface: metal.BootIPXE, KernelParams: params}
}

func TestNamesInScriptsAreChecked(t *testing.T) {
	for _, base := range append([]string{"", "http://a b", "http://${x}", "-h", "http://a&&b", "[hd0]"}, hostile...) {
		if base == "" {
			continue
		}
		if out, err := (&Scripts{}).IPXE(boot(""), base); err == nil {
			t.Errorf("%.40q makes %s", base, out)
		}
	}
	b := boot("")
	b.NodeUUID = "x\nreboot"
	if out, err := (&Scripts{}).Grub(b, "/KEY"); err == nil {
		t.Errorf("a UUID with a line makes %s", out)
	}
}

func TestAppendParams(t *testing.T) {
	for _, c := range []struct{ configured, node, instance, want string }{
		{"nofb", "", "", "nofb"},
		{"nofb", "quiet", "", "quiet"},
		{"nofb", "quiet", "debug", "debug"},
		{"nofb", "%default% quiet", "", "nofb quiet"},
		{"nofb", "quiet", "debug %default%", "debug nofb"},
		{"", "%default%", "", ""},
		{"nofb", "quiet -- single", "", "quiet -- single"},
		{"nofb", "ipa-debug=1", "", "ipa-debug=1"},
	} {
		if got, err := AppendParams(c.configured, c.node, c.instance); got != c.want || err != nil {
			t.Errorf("%+v gives %q %v", c, got, err)
		}
	}
	for _, instance := range []string{"ipa-api-url=http://evil", "IPA_API_URL=x", "rdinit=/bin/sh", "init=/bin/sh", "boot_method=vmedia", "boot-method=x", "initrd=x", "a\nb"} {
		if got, err := AppendParams("nofb", "", instance); err == nil {
			t.Errorf("an instance sets %q", got)
		}
	}
}

func TestKernelLineIsBounded(t *testing.T) {
	if _, err := KernelLine([]string{strings.Repeat("a", 1000)}, strings.Repeat("b", 1000)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a line that is too long: %v", err)
	}
	if _, err := KernelLine([]string{"two words"}, ""); err == nil {
		t.Error("a word with a space")
	}
	if line, err := NetworkKernelLine(" a=b  c "); err != nil || line != "console=tty0 console=ttyS0,115200 boot_method=initramfs a=b c" {
		t.Errorf("%q %v", line, err)
	}
}

func TestTrapTemplatePaths(t *testing.T) {
	for path, want := range map[string]string{"": "", "$pybasedir/drivers/modules/pxe_grub_config.template": "", "$pybasedir/drivers/modules/ipxe_config.template": "", "/etc/ingot/grub.tmpl": "/etc/ingot/grub.tmpl"} {
		if got, err := templatePath("o", path); got != want || err != nil {
			t.Errorf("%q is %q %v", path, got, err)
		}
	}
	for _, path := range []string{"$pybasedir/../../etc/passwd", "$pybasedir/drivers/modules/other.template", "relative", "/a/../b", "/a\nb", "/a\x00", "/" + strings.Repeat("a", maxPath)} {
		if got, err := templatePath("o", path); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.40q is %q %v", path, got, err)
		}
	}
}

func FuzzKernelLine(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := NetworkKernelLine(s)
		if err != nil {
			return
		}
		out, err := (&Scripts{}).Grub(boot(line), "/KEY")
		if err != nil || bytes.Count(out, []byte("\n")) != strings.Count(builtinGrub, "\n") {
			t.Errorf("%q: %v\n%s", s, err, out)
		}
	})
}
