package metal

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func erasureKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func signedErasure(t testing.TB, key ed25519.PrivateKey) ErasureRecord {
	c := ErasureCertificate{UUID: "u1", Node: "n1", Operation: "o1", Step: "deploy.erase_devices", Device: ErasedDevice{Name: "/dev/sda", Serial: "S1", Size: 8 << 30},
		Method: "discard", Passes: 1, Began: time.Unix(1, 500).UTC(), Ended: time.Unix(2, 0).UTC(), Issued: time.Unix(3, 0).UTC(),
		ReadBack: ErasureReadBack{Whole: true, Samples: 2, Length: 4096, Offsets: []int64{0, 4096}, Zero: 2, Result: "all <zero>"}, Agent: "ingot-agent 1", Server: "c1"}
	e, err := SignErasure(c, key)
	if err != nil {
		t.Fatal(err)
	}
	return ErasureRecord{Certificate: &c, Envelope: e}
}

func TestOnlyWhatWasSignedVerifies(t *testing.T) {
	public, private := erasureKey(t)
	strange, stranger := erasureKey(t)
	good := signedErasure(t, private)
	if c, err := VerifyErasure(good, []ed25519.PublicKey{strange, public}); err != nil || c.Device.Serial != "S1" {
		t.Fatalf("%+v, %v", c, err)
	}
	resigned := func(change func(payload string) string) func(*ErasureRecord) {
		return func(r *ErasureRecord) {
			raw, _ := base64.StdEncoding.DecodeString(r.Envelope.Payload)
			r.Envelope.Payload = base64.StdEncoding.EncodeToString([]byte(change(string(raw))))
			r.Certificate = nil
		}
	}
	for name, c := range map[string]struct {
		do   func(*ErasureRecord)
		want error
	}{
		"another serial number":      {resigned(func(s string) string { return strings.Replace(s, `"S1"`, `"S2"`, 1) }), ErrErasureForged},
		"metadata shown as an erase": {func(r *ErasureRecord) { r.Certificate.Method = "NVMe erase" }, ErrErasureAltered},
		"an offset taken out":        {func(r *ErasureRecord) { r.Certificate.ReadBack.Offsets = r.Certificate.ReadBack.Offsets[:1] }, ErrErasureAltered},
		"a signature of another":     {func(r *ErasureRecord) { r.Envelope = signedErasure(t, stranger).Envelope }, nil},
		"another's under our name": {func(r *ErasureRecord) {
			r.Envelope.Signatures[0].Sig = signedErasure(t, stranger).Envelope.Signatures[0].Sig
		}, ErrErasureForged},
		"a key that nobody knows":     {func(r *ErasureRecord) { r.Envelope.Signatures[0].KeyID = "00" }, ErrErasureForeign},
		"no signature":                {func(r *ErasureRecord) { r.Envelope.Signatures = nil }, ErrErasureForm},
		"a signature that is nothing": {func(r *ErasureRecord) { r.Envelope.Signatures[0].Sig = "" }, ErrErasureForged},
		"another type":                {func(r *ErasureRecord) { r.Envelope.PayloadType = "application/json" }, ErrErasureForm},
		"a payload that is no base64": {func(r *ErasureRecord) { r.Envelope.Payload += "!" }, ErrErasureForm},
	} {
		r := signedErasure(t, private)
		c.do(&r)
		got, err := VerifyErasure(r, []ed25519.PublicKey{public})
		if c.want == nil {
			c.want = ErrErasureForeign
		}
		if !errors.Is(err, c.want) || got.UUID != "" {
			t.Errorf("%s: %v (%+v), want %v", name, err, got, c.want)
		}
	}
	if _, err := VerifyErasure(good, nil); !errors.Is(err, ErrErasureForeign) {
		t.Errorf("nobody is trusted: %v", err)
	}
}

func TestErasuresAreRead(t *testing.T) {
	_, private := erasureKey(t)
	r := signedErasure(t, private)
	for name, v := range map[string]any{"a list": map[string]any{"certificates": []ErasureRecord{r}}, "one": r, "a bare envelope": r.Envelope} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseErasures(text)
		if err != nil || len(got) != 1 || got[0].Envelope.Payload != r.Envelope.Payload {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "{}", "[]", "null", `{"certificates":[]}`, `{"payloadType":1}`, `{"envelope":{}}`} {
		if _, err := ParseErasures([]byte(text)); !errors.Is(err, ErrErasureForm) {
			t.Errorf("%q: %v", text, err)
		}
	}
	public, _ := erasureKey(t)
	keys, err := PublicKeys([]byte(PublicPEM(public) + PublicPEM(public)))
	if err != nil || len(keys) != 2 || !keys[0].Equal(public) {
		t.Errorf("%v, %v", keys, err)
	}
	for _, text := range []string{"", "nothing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := PublicKeys([]byte(text)); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

func FuzzErasures(f *testing.F) {
	public, private := erasureKey(f)
	r := signedErasure(f, private)
	for _, v := range []any{r, r.Envelope, map[string]any{"certificates": []ErasureRecord{r, r}}} {
		text, _ := json.Marshal(v)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := ParseErasures(text)
		if err != nil {
			return
		}
		for _, got := range records {
			c, err := VerifyErasure(got, []ed25519.PublicKey{public})
			if err == nil && (c.UUID != "u1" || got.Envelope.Payload != r.Envelope.Payload) {
				t.Fatalf("verified: %+v", got)
			}
		}
	})
}
