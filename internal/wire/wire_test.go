package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		name     string
		standard []string
		legacy   string
		want     int
		says     string
	}{
		{"no header means the minimum", nil, "", 1, ""},
		{"legacy", nil, "1.80", 80, ""},
		{"latest in any case", nil, "LaTeSt", MaxMinor, ""},
		{"standard", []string{"baremetal 1.31"}, "", 31, ""},
		{"standard latest", []string{"baremetal latest"}, "", MaxMinor, ""},
		{"standard wins", []string{"baremetal 1.31"}, "1.80", 31, ""},
		{"other services are ignored", []string{"compute 2.1"}, "1.80", 80, ""},
		{"the last baremetal entry counts", []string{"baremetal 1.2, compute 2.90", "baremetal 1.3"}, "", 3, ""},
		{"first and last", nil, "1.115", 115, ""},
		{"zero", nil, "1.0", 0, "[1.1, 1.115]"},
		{"too new", nil, "1.116", 0, "not supported by this service"},
		{"another major", nil, "2.1", 0, "Mutually exclusive"},
		{"words", nil, "newest", 0, "Invalid value"},
		{"three parts", nil, "1.2.3", 0, "Invalid value"},
		{"no minor", nil, "1", 0, "Invalid value"},
		{"sign", nil, "1.+5", 0, "Invalid value"},
		{"huge", nil, "1.99999999999999999999", 0, "Invalid value"},
	} {
		got, err := Negotiate(c.standard, c.legacy)
		if c.says == "" && (err != nil || got != c.want) {
			t.Errorf("%s: %d, %v; want %d", c.name, got, err, c.want)
		}
		if c.says != "" && (fault.KindOf(err) != fault.NotAcceptable || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v; want not acceptable with %q", c.name, err, c.says)
		}
	}
}

var noon = Time{time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}

func sampleNode() Node {
	yes := true
	return Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Name: "web-1", Driver: "redfish",
		DriverInfo:     map[string]any{"redfish_address": "https://192.0.2.9", "redfish_password": "******"},
		Properties:     map[string]any{"cpu_arch": "x86_64", "memory_mb": 512},
		ProvisionState: "available", PowerState: "power off", DeployInterface: "direct", ResourceClass: "small",
		AutomatedClean: &yes, Description: "rack \"4\" <left> é", CreatedAt: noon,
		UpdatedAt: Time{noon.Add(1500 * time.Microsecond)}, Links: Links("http://h", "nodes/1be2"),
		Ports: Links("http://h", "nodes/1be2/ports")}
}

func TestNodeGolden(t *testing.T) {
	for _, minor := range []int{1, 2, 22, 31, 50, 78, 80, 100, MaxMinor} {
		n := sampleNode()
		n.At(minor)
		golden(t, fmt.Sprintf("node_1.%d.json", minor), indent(t, Full(NodeFields, minor).Append(nil, &n)))
	}
	n := sampleNode()
	golden(t, "nodes_short_1.80.json", indent(t, AppendList(nil, "nodes", []Node{n, n}, Short(NodeFields, 80), "http://h/v1/nodes?limit=2")))
	golden(t, "states_1.80.json", indent(t, StatesShape(80).Append(nil, &n)))
}

func TestPortGolden(t *testing.T) {
	for _, minor := range []int{1, 19, 53, 88, 95, MaxMinor} {
		p := Port{UUID: "d2b30520-907d-46c8-bfee-c5586e6fb3a1", Address: "52:54:00:cf:2d:31", PXEEnabled: true,
			NodeUUID:            "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
			LocalLinkConnection: map[string]any{"port_id": "e1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"},
			CreatedAt:           noon, Links: Links("http://h", "ports/d2b3")}
		p.At(minor)
		golden(t, fmt.Sprintf("port_1.%d.json", minor), indent(t, Full(PortFields, minor).Append(nil, &p)))
	}
}

// TestFieldsByVersion shows, for every minor, the keys it added: the whole table of field versions.
func TestFieldsByVersion(t *testing.T) {
	var b strings.Builder
	for minor := MinMinor; minor <= MaxMinor; minor++ {
		for _, row := range []struct {
			kind string
			keys []string
		}{
			{"node", added(NodeFields, minor)}, {"port", added(PortFields, minor)}, {"driver", added(DriverFields, minor)},
			{"conductor", added(ConductorFields, minor)}, {"history", added(HistoryFields, minor)},
			{"portgroup", added(PortgroupFields, minor)}, {"chassis", added(ChassisFields, minor)},
			{"volume connector", added(VolumeConnectorFields, minor)}, {"volume target", added(VolumeTargetFields, minor)},
		} {
			if len(row.keys) > 0 {
				fmt.Fprintf(&b, "1.%d %s: %s\n", minor, row.kind, strings.Join(row.keys, " "))
			}
		}
	}
	golden(t, "fields.txt", []byte(b.String()))
}

func added[T any](fields []Field[T], minor int) []string {
	var out []string
	for _, f := range fields {
		if f.Min == minor {
			out = append(out, f.Name)
		}
	}
	return out
}

// TestTablesMatchStructs: each json tag has its row, and each row its tag.
func TestTablesMatchStructs(t *testing.T) {
	sameKeys(t, Node{}, NodeFields)
	sameKeys(t, Port{}, PortFields)
	sameKeys(t, Conductor{}, ConductorFields)
	sameKeys(t, Portgroup{}, PortgroupFields)
	sameKeys(t, Chassis{}, ChassisFields)
	sameKeys(t, VolumeConnector{}, VolumeConnectorFields)
	sameKeys(t, VolumeTarget{}, VolumeTargetFields)
}

func sameKeys[T any](t *testing.T, v T, fields []Field[T]) {
	t.Helper()
	tags := map[string]bool{}
	for i := range reflect.TypeOf(v).NumField() {
		tags[reflect.TypeOf(v).Field(i).Tag.Get("json")] = true
	}
	for _, f := range fields {
		if !tags[f.Name] {
			t.Errorf("%T: the table has %q and the struct does not", v, f.Name)
		}
		delete(tags, f.Name)
	}
	for k := range tags {
		t.Errorf("%T: the struct has %q and the table does not", v, k)
	}
}

// TestRoundTrip: what is rendered is read back the same, so that a client shows what the server said.
func TestRoundTrip(t *testing.T) {
	n := sampleNode()
	n.Properties = map[string]any{"cpu_arch": "x86_64", "memory_mb": 512.0}
	j, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var got Node
	if err := json.Unmarshal(j, &got); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(j, again) {
		t.Errorf("%v\n%s\n%s", err, j, again)
	}
	if got.UpdatedAt != n.UpdatedAt || got.Description != n.Description || !*got.AutomatedClean {
		t.Errorf("%+v", got)
	}

	d := Driver{Name: "redfish", Hosts: []string{"a"}, Type: "dynamic", Default: map[string]string{"power": "redfish"},
		Enabled: map[string][]string{"power": {"redfish", "fake"}}}
	j, _ = json.Marshal(d)
	var back Driver
	if err := json.Unmarshal(j, &back); err != nil || back.Default["power"] != "redfish" || len(back.Enabled["power"]) != 2 {
		t.Errorf("%v %+v", err, back)
	}
	page, err := DecodeList[Node](AppendList(nil, "nodes", []Node{n}, Full(NodeFields, 80), "http://h/next"), "nodes")
	if err != nil || len(page.Items) != 1 || page.Items[0].Name != "web-1" || page.Next != "http://h/next" {
		t.Errorf("%v %+v", err, page)
	}
}

func TestSelect(t *testing.T) {
	s, err := Select(NodeFields, 80, []string{"name", "uuid"})
	if err != nil || len(s) != 3 || !s.Has("links") || !s.Has("uuid") || !s.Has("name") {
		t.Errorf("%v %v", s, err)
	}
	for names, kind := range map[string]fault.Kind{
		"bogus": fault.Invalid, "created_at": fault.Invalid, "ports": fault.Invalid, "health": fault.NotAcceptable,
	} {
		if _, err := Select(NodeFields, 80, []string{names}); fault.KindOf(err) != kind {
			t.Errorf("%s: %v; want %v", names, err, kind)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		field string
		in    any
		want  any
		says  string
	}{
		{"extra", map[string]any{"a": 1.0}, map[string]any{"a": 1.0}, ""},
		{"extra", nil, nil, ""},
		{"extra", "x", nil, "must be a JSON object"},
		{"maintenance", "yes", true, ""},
		{"maintenance", "OFF", false, ""},
		{"maintenance", "perhaps", nil, "true or false"},
		{"maintenance", 1.0, nil, "true or false"},
		{"driver", nil, nil, "not null"},
		{"driver", "", nil, "not empty"},
		{"uuid", "x", nil, "Expected UUID for uuid"},
		{"resource_class", strings.Repeat("x", 80), strings.Repeat("x", 80), ""},
		{"resource_class", strings.Repeat("x", 81), nil, "at most 80"},
		{"owner", 5.0, nil, "must be a string"},
	} {
		f, ok := Find(NodeFields, c.field)
		if !ok {
			t.Fatalf("no field %s", c.field)
		}
		got, err := f.Check(c.in)
		if c.says == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%s %v: %v, %v", c.field, c.in, got, err)
		}
		if c.says != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %v: %v; want %q", c.field, c.in, err, c.says)
		}
	}
	f, _ := Find(PortFields, "address")
	if got, err := f.Check("52-54-00-CF-2D-31"); err != nil || got != "52:54:00:cf:2d:31" {
		t.Errorf("%v %v", got, err)
	}
}

func TestCheckNodeName(t *testing.T) {
	for _, c := range []struct {
		name  string
		minor int
		ok    bool
	}{
		{"web-1", 5, true}, {"web_1~x.Y", 10, true}, {"web_1", 9, false}, {"detail", 80, false}, {"", 80, false},
		{"1be26c0b-03f2-4d2e-ae87-c02d7f33c123", 80, false}, {"a/b", 80, false}, {strings.Repeat("a", 256), 80, false},
	} {
		if err := CheckNodeName(c.name, c.minor); (err == nil) != c.ok {
			t.Errorf("%s at 1.%d: %v", c.name, c.minor, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	body := func(v ErrorBody) string { j, _ := json.Marshal(v); return string(j) }
	for in, want := range map[string]string{
		body(NewError(400, `it is "wrong"`)):              `it is "wrong"`,
		body(NewRouteError(404, "Not Found", "not here")): "not here",
		`{"error_message": "plain"}`:                      "plain",
		`{"error_message": {"faultstring": "x"}}`:         "x",
		`{"faultstring": "too large"}`:                    "too large",
		`{"error": {"message": "no", "code": 1}}`:         "no",
		`<html>`: "",
		`{}`:     "",
	} {
		if got := ErrorText([]byte(in)); got != want {
			t.Errorf("%s: %q; want %q", in, got, want)
		}
	}
	if got := NewError(409, "x").ErrorMessage; got != `{"faultcode":"Client","faultstring":"x","debuginfo":null}` {
		t.Error(got)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", path, got)
	}
}

func indent(t *testing.T, j []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, j, "", "  "); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, j)
	}
	return append(b.Bytes(), '\n')
}
