package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"ingot/internal/wire"
)

// The benchmarks measure whole requests over loopback, on a database that syncs every write to disk; each
// reports requests per second. Eight clients ask at once.

func benchRig(b *testing.B, nodes int) (*rig, []string) {
	r := newRig(b)
	ids := make([]string, nodes)
	for i := range ids {
		ids[i] = r.node(fmt.Sprintf("node-%05d", i))
	}
	return r, ids
}

func run(b *testing.B, r *rig, minor, status int, request func(i int64) (method, path, body string)) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			method, path, body := request(next.Add(1))
			q, err := http.NewRequest(method, r.url+path, bytes.NewReader([]byte(body)))
			if err != nil {
				b.Error(err)
				return
			}
			q.Header.Set(wire.HeaderVersion, wire.Version(minor))
			q.Header.Set("Content-Type", "application/json")
			a, err := client.Do(q)
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, a.Body)
			a.Body.Close()
			if err != nil || a.StatusCode != status {
				b.Errorf("%s %s: %d, %v", method, path, a.StatusCode, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func BenchmarkAPIGet(b *testing.B) {
	r, ids := benchRig(b, 1000)
	run(b, r, 80, 200, func(i int64) (string, string, string) { return get, "/v1/nodes/" + ids[i%1000], "" })
}

func BenchmarkAPIList1000(b *testing.B) {
	r, _ := benchRig(b, 1000)
	run(b, r, 80, 200, func(int64) (string, string, string) { return get, "/v1/nodes?limit=1000", "" })
}

func BenchmarkAPIListDetail1000(b *testing.B) {
	r, _ := benchRig(b, 1000)
	run(b, r, 80, 200, func(int64) (string, string, string) { return get, "/v1/nodes/detail?limit=1000", "" })
}

func BenchmarkAPICreate(b *testing.B) {
	r, _ := benchRig(b, 0)
	run(b, r, 80, 201, func(i int64) (string, string, string) {
		return post, "/v1/nodes", fmt.Sprintf(`{"name": "n-%d", "driver": "fake-hardware", "properties": {"cpu_arch": "x86_64"}}`, i)
	})
}

func BenchmarkAPIPatch(b *testing.B) {
	r, ids := benchRig(b, 1000)
	run(b, r, 80, 200, func(i int64) (string, string, string) {
		return patch, "/v1/nodes/" + ids[i%1000], fmt.Sprintf(`[{"op": "add", "path": "/extra/count", "value": %d}]`, i)
	})
}
