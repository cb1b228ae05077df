package bmc

import (
	"context"
	"strings"
	"testing"
	"time"
)

func (r *rig) plant(list ...Fault) {
	r.t.Helper()
	if err := r.bmc.SetFaults(list...); err != nil {
		r.t.Fatal(err)
	}
}

func TestFaultsAreSetOverHTTP(t *testing.T) {
	r := newRig(t)
	r.do("PUT", "/lab/faults", []Fault{{Name: Busy}, {Name: WrongPassword, Times: 1}}, 200)
	if got := r.bmc.Faults(); len(got) != 2 || got[0].Times != 3 {
		t.Errorf("planted %v", got)
	}
	for range 3 {
		resp, _ := r.do("GET", SystemPath, nil, 503)
		if resp.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	r.do("GET", SystemPath, nil, 401)
	r.do("GET", SystemPath, nil, 200)
	if got := r.bmc.Faults(); len(got) != 0 {
		t.Errorf("still planted: %v", got)
	}
	_, d := r.do("PUT", "/lab/faults", []Fault{{Name: "flood"}}, 400)
	if msg := d["error"].(map[string]any)["message"].(string); !strings.Contains(msg, RefusePower) {
		t.Errorf("the error does not name the faults there are: %s", msg)
	}
	_, d = r.do("GET", "/lab/counters", nil, 200)
	if d["GET"] != float64(5) || d["PUT"] != nil {
		t.Errorf("counters %v, want 5 GET: the lab's own paths do not count", d)
	}
}

func TestPowerFaults(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: RefusePower, Times: 1}, Fault{Name: PowerLies, Times: 1})
	r.resetTo("On", 400)
	r.resetTo("On", 204)
	if r.machine.Powered() {
		t.Error("the power came on although the BMC lies")
	}
	r.resetTo("On", 204)
	if !r.machine.Powered() {
		t.Error("a healed BMC does not switch on")
	}
}

func TestMediaFaults(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: RefuseMedia, Times: 1}, Fault{Name: MediaEmpty, Times: 1})
	image := map[string]any{"Image": "http://x/y.iso"}
	r.do("POST", insertPath, image, 500)
	r.do("POST", insertPath, image, 204)
	if _, d := r.do("GET", MediaPath, nil, 200); d["Inserted"] != false {
		t.Error("the drive is not empty")
	}
	r.do("POST", insertPath, image, 204)
	if _, d := r.do("GET", MediaPath, nil, 200); d["Inserted"] != true {
		t.Error("a healed BMC does not insert")
	}
}

func TestConnectionFaults(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: Gone, Times: 1})
	if _, _, err := r.try(t.Context(), "POST", insertPath, map[string]any{"Image": "http://x/y"}); err == nil {
		t.Error("gone: an answer came")
	}
	r.plant(Fault{Name: Slow, DelayMS: 30})
	start := time.Now()
	r.do("GET", SystemPath, nil, 200)
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("slow: answered after %v", d)
	}
	r.plant(Fault{Name: Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := r.try(ctx, "GET", SystemPath, nil); err == nil {
		t.Error("hang: an answer came")
	}
	r.do("GET", "/lab/counters", nil, 200) // faults do not reach it
	r.plant()
	r.do("GET", SystemPath, nil, 200)
}

func TestBootModeRefused(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: NoBootMode})
	r.setBoot(400, "Target", "Cd", "Mode", "UEFI")
	r.setBoot(204, "Target", "Cd")
}
