package osdef

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

func hidden(values map[string]string) map[string]secret.Secret {
	out := map[string]secret.Secret{}
	for k, v := range values {
		out[k] = secret.New(v)
	}
	return out
}

func TestLaterLayersWinWithinAClass(t *testing.T) {
	c := Merge(
		Classes{Public: map[string]string{"a": "default", "b": "default", "c": "default", "d": "default"}, Private: hidden(map[string]string{"p": "default"})},
		Classes{Public: map[string]string{"b": "variant", "c": "variant", "d": "variant"}},
		Classes{Public: map[string]string{"c": "instance", "d": "instance"}, Private: hidden(map[string]string{"p": "instance"})},
		Classes{Public: map[string]string{"d": "request"}, Secret: hidden(map[string]string{"s": "request"})},
	)
	if want := map[string]string{"a": "default", "b": "variant", "c": "instance", "d": "request"}; !reflect.DeepEqual(c.Public, want) {
		t.Errorf("got %v", c.Public)
	}
	if !c.Private["p"].Equal("instance") || !c.Secret["s"].Equal("request") {
		t.Error("private or secret values are not the later ones")
	}
	if got := c.Missing([]string{"z", "s", "a", "y", "z"}); !reflect.DeepEqual(got, []string{"y", "z"}) {
		t.Errorf("missing: %v", got)
	}
}

func TestREQ06NamesAreInOneClassOnly(t *testing.T) {
	defaults := Classes{Public: map[string]string{"mirror": "canary-a"}, Private: hidden(map[string]string{"token": "canary-b"})}
	for _, c := range []struct {
		what string
		over Classes
		says string
	}{
		{"private over public", Classes{Private: hidden(map[string]string{"mirror": "canary-c"})}, "mirror (public, private)"},
		{"secret over private", Classes{Secret: hidden(map[string]string{"token": "canary-d"})}, "token (private, secret)"},
		{"secret over public", Classes{Secret: hidden(map[string]string{"mirror": "canary-e"})}, "mirror (public, secret)"},
		{"public over private", Classes{Public: map[string]string{"token": "canary-f"}}, "token (public, private)"},
		{"in one request", Classes{Private: hidden(map[string]string{"x": "canary-g"}), Secret: hidden(map[string]string{"x": "canary-h"})}, "x (private, secret)"},
	} {
		err := Merge(defaults, c.over).Check(nil)
		if fault.KindOf(err) != fault.Invalid || err == nil || !strings.Contains(public(err), c.says) || strings.Contains(fmt.Sprintf("%+v", err), "canary") {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if err := Merge(defaults, Classes{Private: hidden(map[string]string{"token": "another"})}).Check(nil); err != nil {
		t.Error(err)
	}
}

func TestREQ04NamesThatBecomeOneVariable(t *testing.T) {
	for _, pair := range [][2]string{{"a-b", "a_b"}, {"name", "NAME"}} {
		err := Classes{Public: map[string]string{pair[0]: "1"}, Secret: hidden(map[string]string{pair[1]: "canary"})}.Bounded()
		if err == nil || !strings.Contains(public(err), pair[0]) || !strings.Contains(public(err), pair[1]) || strings.Contains(public(err), "canary") {
			t.Errorf("%v: %v", pair, err)
		}
	}
}

func TestParametersAreJudged(t *testing.T) {
	d := &Definition{Version: 20, Parameters: []Parameter{{Name: "mirror"}, {Name: "token"}}}
	many := map[string]string{}
	for i := range 201 {
		many[fmt.Sprint("p", i)] = ""
	}
	large := map[string]string{}
	for i := range 9 {
		large[fmt.Sprint("p", i)] = strings.Repeat("x", 60<<10)
	}
	for _, c := range []struct {
		what string
		d    *Definition
		c    Classes
		says string
	}{
		{"declared", d, Classes{Public: map[string]string{"mirror": "x"}, Secret: hidden(map[string]string{"token": "y"})}, ""},
		{"nothing for an old definition", &Definition{Version: 15}, Classes{}, ""},
		{"an old definition", &Definition{Version: 15}, Classes{Public: map[string]string{"mirror": "x"}}, "no parameters: leave away mirror"},
		{"unknown", d, Classes{Public: map[string]string{"size": "x"}, Private: hidden(map[string]string{"colour": "canary"})}, "colour, size. There are: mirror, token"},
		{"unknown where there are none", &Definition{Version: 20}, Classes{Public: map[string]string{"size": "x"}}, "none at all"},
		{"no definition", nil, Classes{Public: map[string]string{"whatever": "x"}}, ""},
		{"a wrong name", nil, Classes{Public: map[string]string{"a=b": "x"}}, `"a=b"`},
		{"an empty name", nil, Classes{Secret: hidden(map[string]string{"": "canary"})}, "cannot be the name"},
		{"a zero byte", nil, Classes{Private: hidden(map[string]string{"token": "canary\x00"})}, "token"},
		{"a large value", nil, Classes{Private: hidden(map[string]string{"token": strings.Repeat("canary", 20000)})}, "120000 bytes"},
		{"large values", nil, Classes{Public: large}, "together"},
		{"many", nil, Classes{Public: many}, "201 OS parameters"},
	} {
		err := c.c.Check(c.d)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(public(err), c.says) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %.300v", c.what, err)
		}
	}
}

func machine() Machine {
	return Machine{
		Name: "n1", UUID: "c0ffee00-0000-4000-8000-000000000001", Created: time.Unix(1000, 0), Modified: time.Unix(2000, 5e8), Debug: true,
		Disks: []Disk{{Path: "/dev/disk/by-id/wwn-1", Bytes: 10<<20 + 5, UUID: "d1"}, {Path: "/dev/disk/by-id/wwn-2", Bytes: 1 << 30, ReadOnly: true, Name: "data"}},
		NICs: []NIC{{MAC: "52:54:00:00:00:01", UUID: "p1", Name: "eth0", IP: "192.0.2.5", Link: "physnet1", Network: &Network{Name: "tenant", Subnet: "192.0.2.0/24", Gateway: "192.0.2.1"}},
			{MAC: "52:54:00:00:00:02", UUID: "p2"}},
	}
}

func printed(vars []Variable) (out []string) {
	for _, v := range vars {
		out = append(out, v.Name+"="+v.Value.Expose())
	}
	return out
}

const envMachine = `INSTANCE_OS=debian+12
INSTANCE_NAME=n1
INSTANCE_UUID=c0ffee00-0000-4000-8000-000000000001
INSTANCE_CTIME=1000
INSTANCE_MTIME=2000
INSTANCE_PRIMARY_NODE=n1
INSTANCE_SECONDARY_NODES=
HYPERVISOR=baremetal
DISK_COUNT=2
DISK_0_PATH=/dev/disk/by-id/wwn-1
DISK_0_SIZE=10
DISK_0_ACCESS=rw
DISK_0_UUID=d1
DISK_0_BACKEND_TYPE=block
DISK_1_PATH=/dev/disk/by-id/wwn-2
DISK_1_SIZE=1024
DISK_1_ACCESS=ro
DISK_1_NAME=data
DISK_1_BACKEND_TYPE=block
NIC_COUNT=2
NIC_0_MAC=52:54:00:00:00:01
NIC_0_UUID=p1
NIC_0_NAME=eth0
NIC_0_IP=192.0.2.5
NIC_0_MODE=ext
NIC_0_LINK=physnet1
NIC_0_NETWORK_NAME=tenant
NIC_0_NETWORK_SUBNET=192.0.2.0/24
NIC_0_NETWORK_GATEWAY=192.0.2.1
NIC_1_MAC=52:54:00:00:00:02
NIC_1_UUID=p2
NIC_1_MODE=ext
NIC_1_LINK=`

func TestREQ03TheEnvironmentIsExactlyTheDocumentedOne(t *testing.T) {
	core := "PATH=/sbin:/bin:/usr/sbin:/usr/bin\nOS_API_VERSION=20\nOS_NAME=debian\nDEBUG_LEVEL=1\nOS_VARIANT=12\nOSP_MIRROR=http://m\nOSP_ROOT_KEY=canary"
	for _, c := range []struct {
		what string
		run  Run
		want string
	}{
		{"create", Run{Action: Create}, core + "\n" + envMachine},
		{"create again", Run{Action: Create, Reinstall: true}, core + "\n" + envMachine + "\nINSTANCE_REINSTALL=1"},
		{"rename", Run{Action: Rename, OldName: "n0"}, core + "\n" + envMachine + "\nOLD_INSTANCE_NAME=n0"},
		{"export", Run{Action: Export, Disk: 1, SizeFD: 3}, core + "\n" + envMachine + "\nEXPORT_INDEX=1\nEXPORT_DISK_PATH=/dev/disk/by-id/wwn-2\nEXPORT_DEVICE=/dev/disk/by-id/wwn-2\nEXP_SIZE_FD=3"},
		{"import", Run{Action: Import, Disk: 0, SizeFD: 3}, core + "\n" + envMachine + "\nIMPORT_INDEX=0\nIMPORT_DISK_PATH=/dev/disk/by-id/wwn-1\nIMPORT_DEVICE=/dev/disk/by-id/wwn-1"},
		{"verify", Run{Action: Verify}, core},
	} {
		c.run.Name, c.run.Variant, c.run.Machine, c.run.Definition = "debian", "12", machine(), &Definition{Version: 20}
		c.run.Parameters = Classes{Public: map[string]string{"mirror": "http://m"}, Secret: hidden(map[string]string{"root-key": "canary"})}
		got, err := Environment(c.run)
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(printed(got), "\n"); all != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.what, all, c.want)
		}
		if shown := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(shown, "canary") {
			t.Errorf("%s: a value can be printed", c.what)
		}
	}
}

func TestREQ03ValuesArriveAsTheyAre(t *testing.T) {
	for _, value := range []string{"two\nlines\n", `"quoted" 'twice' $HOME \ ` + "`id`", "a=b=c", "", " ", "größe ☃", "\xff\xfe"} {
		got, err := Environment(Run{Action: Create, Name: "x", Definition: &Definition{Version: 20}, Parameters: Classes{Private: hidden(map[string]string{"p": value})}})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, v := range got {
			found = found || v.Name == "OSP_P" && v.Value.Expose() == value
		}
		if !found {
			t.Errorf("%q did not arrive", value)
		}
	}
}

func TestREQ03OlderVersionsAreToldLess(t *testing.T) {
	got, err := Environment(Run{Action: Create, Name: "x", Variant: "v", Definition: &Definition{Version: 10}, Machine: machine(), Parameters: Classes{Public: map[string]string{"p": "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	all := "\n" + strings.Join(printed(got), "\n") + "\n"
	if !strings.Contains(all, "\nOS_VARIANT=\n") || !strings.Contains(all, "\nINSTANCE_OS=x\n") || strings.Contains(all, "OSP_") {
		t.Errorf("got %s", all)
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	zero := machine()
	zero.Name = "a\x00b"
	for what, r := range map[string]Run{
		"no such disk":   {Action: Export, Disk: 2, Machine: machine()},
		"a negative one": {Action: Import, Disk: -1, Machine: machine()},
		"a zero byte":    {Action: Create, Machine: zero},
		"two names":      {Action: Create, Parameters: Classes{Public: map[string]string{"a-b": "", "a_b": ""}}},
	} {
		r.Definition = &Definition{Version: 20}
		if got, err := Environment(r); err == nil {
			t.Errorf("%s: %v", what, printed(got))
		}
	}
}
