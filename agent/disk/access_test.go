package disk

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/agentapi"
)

// TestImagesThatAreNotForEverybody: the agent gives the credentials it was told, and to nobody else.
func TestImagesThatAreNotForEverybody(t *testing.T) {
	img := gptImage()
	for want, access := range map[string]agentapi.ImageAccess{
		"Basic dTpw":      {AuthStrategy: agentapi.HTTPBasic, User: "u", Password: "p"},
		"Bearer open-it":  {Authorization: base64.StdEncoding.EncodeToString([]byte("Bearer open-it"))},
		"Basic dTpwIQ==!": {AuthStrategy: agentapi.HTTPBasic, User: "u", Password: "wrong"},
	} {
		asked := func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != want {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		}
		path := oldDisk(t, diskSize)
		before := readDisk(t, path)
		r := request(path, serve(t, img, asked), img)
		r.Image.ImageAccess = &access
		_, err := WriteImage(context.Background(), r)
		if access.Password != "wrong" {
			if err != nil {
				t.Errorf("%s: %v", want, err)
			}
			continue
		}
		wantType(t, err, downloadError, "401")
		if string(readDisk(t, path)) != string(before) {
			t.Error("the disk was written to although there was no image")
		}
	}
}

// TestRefusedBeforeTheDiskIsTouched: what is known to be wrong of an image before its bytes are leaves the disk as it was.
func TestRefusedBeforeTheDiskIsTouched(t *testing.T) {
	img := gptImage()
	away := serve(t, img, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://u:p@"+r.Host+"/img", http.StatusFound)
		return true
	})
	for name, c := range map[string]struct {
		change     func(*Request)
		kind, says string
	}{
		"refused network":           {func(r *Request) { r.Image.Refused = []string{"127.0.0.0/8"} }, downloadError, "127.0.0.1"},
		"networks that are none":    {func(r *Request) { r.Image.Refused = []string{"x"} }, paramsError, "ingot_refused_networks"},
		"wrong size":                {func(r *Request) { r.Image.Size = 5 }, downloadError, "must have 5"},
		"md5":                       {func(r *Request) { r.Image.HashAlgo, r.Image.HashValue = "md5", strings.Repeat("0", 32) }, paramsError, "MD5"},
		"unknown strategy":          {func(r *Request) { r.Image.ImageAccess = &agentapi.ImageAccess{AuthStrategy: "kerberos"} }, paramsError, "kerberos"},
		"header with a line break":  {func(r *Request) { r.Image.ImageAccess = &agentapi.ImageAccess{Authorization: "YQpi"} }, paramsError, "one line"},
		"redirect with credentials": {func(r *Request) { r.Image.URLs = []string{away} }, downloadError, "user name or password"},
	} {
		path := oldDisk(t, diskSize)
		before := readDisk(t, path)
		r := request(path, serve(t, img, nil), img)
		c.change(&r)
		_, err := WriteImage(context.Background(), r)
		t.Log(name, err)
		wantType(t, err, c.kind, c.says)
		if string(readDisk(t, path)) != string(before) {
			t.Errorf("%s: the disk was written to", name)
		}
	}
}
