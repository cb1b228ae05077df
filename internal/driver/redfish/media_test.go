package redfish_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// drive makes the stub's CD drive work, if allow lets it.
func (s *stub) drive(uri string, allow func(params doc) (refusal string)) {
	s.on("POST "+uri+"/Insert", func(w http.ResponseWriter, r *http.Request) {
		var p doc
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &p)
		if no := allow(p); no != "" {
			refuse(w, 400, no)
			return
		}
		s.merge(uri, doc{"Inserted": true, "Image": p["Image"]})
	})
	s.on("POST "+uri+"/Eject", func(http.ResponseWriter, *http.Request) { s.merge(uri, doc{"Inserted": false, "Image": nil}) })
}

func TestMissingParametersAreAdded(t *testing.T) {
	s := newStub(t)
	s.drive(cd, func(p doc) string {
		for _, want := range []string{"TransferProtocolType", "TransferMethod", "MediaType"} {
			if p[want] == nil {
				return "the action needs the parameter " + want
			}
		}
		for _, odd := range []string{"Inserted", "WriteProtected"} {
			if p[odd] != nil {
				return "unknown parameter " + odd
			}
		}
		return ""
	})
	if err := driver(t, quick()).InsertMedia(t.Context(), s.node, iso); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.said(), `"TransferProtocolType":"HTTP"`) {
		t.Errorf("asked: %s", s.said())
	}
}

func TestADriveThatRefusesIsPassedOver(t *testing.T) {
	s := newStub(t)
	second := sys + "/VirtualMedia/Second"
	s.docs[sys+"/VirtualMedia"] = list(sys+"/VirtualMedia/Usb", cd, second)
	s.docs[sys+"/VirtualMedia/Usb"] = doc{"Id": "Usb", "MediaTypes": []string{"USBStick"}, "Inserted": true, "Image": "leave me"}
	s.docs[second] = doc{"Id": "Second", "MediaTypes": []string{"DVD"}, "Inserted": true, "Image": "http://old/",
		"Actions": doc{"#VirtualMedia.InsertMedia": doc{"target": second + "/Insert"}, "#VirtualMedia.EjectMedia": doc{"target": second + "/Eject"}}}
	s.drive(cd, func(doc) string { return "this drive is broken" })
	s.drive(second, func(doc) string { return "" })
	d := driver(t, quick())
	if err := d.InsertMedia(t.Context(), s.node, iso); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Media(t.Context(), s.node); got != iso || err != nil {
		t.Errorf("in the drive: %q, %v", got, err)
	}
	if !strings.Contains(s.said(), second+"/Eject") || strings.Contains(s.said(), "Usb") {
		t.Errorf("asked: %s", s.said())
	}
	s.drive(second, func(doc) string { return "no" })
	told := is(t, d.InsertMedia(t.Context(), s.node, iso+"2"), fault.Internal)
	if !strings.Contains(told, "this drive is broken") {
		t.Errorf("told: %q", told)
	}
}

// TestManagersDrive: the drive is the manager's, and the BMC shows images without their query.
func TestManagersDrive(t *testing.T) {
	s := newStub(t)
	delete(s.docs[sys], "VirtualMedia")
	bmc := root + "/Managers/bmc"
	s.docs[root+"/Managers"] = list(bmc)
	s.docs[bmc] = doc{"VirtualMedia": at(sys + "/VirtualMedia")}
	s.drive(cd, func(p doc) string {
		p["Image"] = strings.Split(p["Image"].(string), "?")[0]
		return ""
	})
	d := driver(t, quick())
	for range 2 {
		if err := d.InsertMedia(t.Context(), s.node, iso); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(s.said(), "/Insert"); n != 1 {
		t.Errorf("inserted %d times: %s", n, s.said())
	}
	s.docs[bmc] = doc{}
	is(t, d.InsertMedia(t.Context(), s.node, iso), fault.NotSupported)
	_, err := d.Media(t.Context(), s.node)
	is(t, err, fault.NotSupported)
}

// TestEjectWhileBusy: 5xx while an eject is under way, as Dell's BMCs answer, and a medium that stays.
func TestEjectWhileBusy(t *testing.T) {
	s := newStub(t)
	s.merge(cd, doc{"Inserted": true, "Image": "http://old/"})
	tries := 0
	s.on("POST "+cd+"/Eject", func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries < 3 {
			refuse(w, http.StatusServiceUnavailable, "eject in progress")
			return
		}
		s.merge(cd, doc{"Inserted": false, "Image": nil})
	})
	d := driver(t, quick())
	if err := d.EjectMedia(t.Context(), s.node); err != nil {
		t.Error(err)
	}
	s.merge(cd, doc{"Inserted": true, "Image": "http://old/"})
	s.on("POST "+cd+"/Eject", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if told := is(t, d.EjectMedia(t.Context(), s.node), fault.Internal); !strings.Contains(told, "still holds it") {
		t.Errorf("told: %q", told)
	}
}
