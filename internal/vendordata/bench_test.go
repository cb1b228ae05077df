package vendordata

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/secret"
)

// BenchmarkFresh is the metadata service's way to an answer that may still be used.
func BenchmarkFresh(b *testing.B) {
	for name, size := range map[string]int{"small": 100, "large": 48 << 10} {
		b.Run(name, func(b *testing.B) {
			s, err := New(configured("x@https://192.0.2.1/"), Options{}, quiet())
			if err != nil {
				b.Fatal(err)
			}
			r := example
			r.UserData = secret.New(strings.Repeat("u", size))
			start := Answers{id: "a", list: []answer{{target: "x", status: 200, body: secret.New(`{"a":1}`), hash: r.digest(), asked: time.Now()}}}
			for b.Loop() {
				a, err := s.Fresh(b.Context(), "i", r, start)
				if err != nil || len(a.VendorData2(s.Static())) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
