package metadata

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/channel"
	"ingot/internal/store"
)

func TestREQ24ProgressOfAMachineThatInstallsItself(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		n := w.node()
		op := w.selfInstall(n, d, "127.0.0.11")
		say := func(body string, status int) {
			t.Helper()
			if r := w.ask("127.0.0.11", "POST", base+"write", body); r.status != status {
				t.Errorf("%s: %d %s", body, r.status, r.body)
			}
		}
		say(`{"stage":"disk","percent":40,"message":"with SECR-canary of node1, PRIV-canary of node1, PASS-canary of node1"}`, 200)
		want := agentapi.OSProgress{Stage: "disk", Percent: 40, Message: "with ******, ******, ******"}
		if c := w.channel(n); c.Progress != want || !w.woken(op) {
			t.Errorf("kept: %+v", c.Progress)
		}
		say(`{"stage":"disk","percent":41}`, 200) // so soon that it may be left away
		say(`{"stage":"packages","percent":5}`, 200)
		say(`{"stage":"disk","percent":100}`, 200)
		if c := w.channel(n); c.Progress != (agentapi.OSProgress{Stage: "disk", Percent: 100}) || !maps.Equal(c.Stages, map[string]int{"disk": 100, "packages": 5}) {
			t.Errorf("kept: %+v %v", c.Progress, c.Stages)
		}
		say(`{"stage":"disk","percent":200}`, 400)
		w.secrets.die()
		say(`{"stage":"a Stage","percent":7,"message":"SECR-canary of node1"}`, 200)
		if c := w.channel(n); c.Progress != (agentapi.OSProgress{Stage: "install", Percent: 7}) {
			t.Errorf("words that could not be looked through: %+v", c.Progress)
		}
		w.woken(op)
		say(`{"final":true,"code":3,"message":"no disk"}`, 200)
		if c := w.channel(n); !c.Progress.Final || c.Progress.Code != 3 || !w.woken(op) {
			t.Errorf("kept: %+v", c.Progress)
		}
		say(`{"final":true,"code":3,"message":"no disk"}`, 200) // whose answer was lost
		say(`{"final":true,"code":0}`, 410)
		say(`{"stage":"disk","percent":1}`, 410)
		say("raw", 410)
		if c := w.channel(n); c.Progress.Code != 3 {
			t.Errorf("kept: %+v", c.Progress)
		}
	})
}

func TestREQ21ThePipeOfAMachineThatInstallsItself(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		n, other := w.node(), w.node()
		op := w.selfInstall(n, d, "127.0.0.11")
		w.selfInstall(other, d, "127.0.0.12")
		second, _ := w.serve(Defaults(), nil, nil, slog.New(slog.DiscardHandler))
		if r := w.get("127.0.0.11", base+"read", 204); r.body != "" {
			t.Errorf("it reads %q", r.body)
		}
		const many = 12
		w.write(func(tx *store.Tx) error {
			for i := range many {
				if err := tx.PutOSMessage(n, op.UUID, store.ToMachine, fmt.Appendf(nil, "%02d", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
		w.get("127.0.0.12", base+"read", 204)
		got := make(chan string, many)
		var all sync.WaitGroup
		for _, url := range []string{w.url, second} {
			all.Go(func() {
				for {
					r := w.askAt(url, "127.0.0.11", "GET", base+"read", "")
					if r.status != 200 {
						if r.status != 204 {
							t.Errorf("%d %s", r.status, r.body)
						}
						return
					}
					got <- r.body
				}
			})
		}
		all.Wait()
		close(got)
		seen := slices.Sorted(func(yield func(string) bool) {
			for m := range got {
				if !yield(m) {
					return
				}
			}
		})
		if len(seen) != many || len(slices.Compact(seen)) != many {
			t.Errorf("read: %v", seen)
		}

		post := func(body string, status int) {
			t.Helper()
			if r := w.ask("127.0.0.11", "POST", base+"write", body); r.status != status {
				t.Errorf("%d bytes: %d %s", len(body), r.status, r.body)
			}
		}
		post(strings.Repeat("x", channel.MaxBuffered+1), 413)
		post("first", 200)
		post("second", 200)
		post(strings.Repeat("x", channel.MaxBuffered), 429)
		for _, want := range []string{"first", "second", ""} {
			w.write(func(tx *store.Tx) error {
				m, err := tx.TakeOSMessage(n, op.UUID, store.ToServer)
				if string(m) != want {
					t.Errorf("the server reads %q, want %q", m, want)
				}
				return err
			})
		}
	})
}

// begin sends a message to the pipe that does not end.
func (w *world) begin(from string) net.Conn {
	w.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(w.t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "POST "+base+"write HTTP/1.1\r\nHost: 169.254.169.254\r\nContent-Length: 100\r\n\r\nx"); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// What one machine has in work keeps no other one out, and what instances that run send is not even read.
func TestREQ21SlowMachinesKeepNobodyOut(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		d := w.definition()
		slow, other, running := w.node(), w.node(), w.node()
		w.selfInstall(slow, d, "127.0.0.11")
		w.selfInstall(other, d, "127.0.0.12")
		w.deploy(running, "running", "p1", "127.0.0.13")
		for range maxBodiesOfOne {
			w.begin("127.0.0.11")
		}
		for w.ask("127.0.0.11", "GET", base+"os/parameters.json", "").status != http.StatusServiceUnavailable { // as soon as all have come
			if t.Context().Err() != nil {
				t.Fatal(t.Context().Err())
			}
		}
		if r := w.ask("127.0.0.12", "POST", base+"write", "x"); r.status != http.StatusOK {
			t.Errorf("another machine: %d %s", r.status, r.body)
		}
		answer, err := http.ReadResponse(bufio.NewReader(w.begin("127.0.0.13")), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusGone && answer.StatusCode != http.StatusNotFound {
			t.Errorf("an instance that runs: %s", answer.Status)
		}
	})
}
