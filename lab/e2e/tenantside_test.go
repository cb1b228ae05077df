package e2e

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"ingot/lab"
)

// plug gives a namespace an address on a bridge of a lab.
func (s space) plug(t *testing.T, l *lab.Lab, bridge, address string) {
	t.Helper()
	k := cables.Add(1)
	a, b := fmt.Sprintf("e%d-%da", os.Getpid()%100000, k), fmt.Sprintf("e%d-%db", os.Getpid()%100000, k)
	host, in := space(""), space(l.Namespace)
	host.run(t, "ip", "link", "add", a, "type", "veth", "peer", "name", b)
	host.run(t, "ip", "link", "set", a, "netns", string(s))
	host.run(t, "ip", "link", "set", b, "netns", l.Namespace)
	in.run(t, "ip", "link", "set", b, "master", bridge, "up")
	s.run(t, "ip", "address", "add", address+"/24", "dev", a)
	s.run(t, "ip", "link", "set", a, "up")
}

// glance is one look at where a switch has a port.
type glance struct {
	began, ended time.Time
	network      string // "": isolated
}

// portWatch looks at one port of a lab's switch all the time.
type portWatch struct {
	quit chan struct{}
	over sync.WaitGroup
	seen []glance
	err  error
}

func watchPort(t *testing.T, l *lab.Lab, port lab.SwitchPort) *portWatch {
	t.Helper()
	w := &portWatch{quit: make(chan struct{})}
	w.over.Go(func() {
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			if w.err = w.look(t, l, port); w.err != nil {
				return
			}
			select {
			case <-w.quit:
				return
			case <-again.C:
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *portWatch) look(t *testing.T, l *lab.Lab, port lab.SwitchPort) error {
	g := glance{began: time.Now()}
	all, err := l.Ports(t.Context())
	if err != nil {
		return err
	}
	g.ended = time.Now()
	for _, p := range all {
		if p.Switch == port.SwitchID && p.Port == port.PortID && p.Network != nil {
			g.network = *p.Network
		}
	}
	w.seen = append(w.seen, g)
	return nil
}

// stop ends it; twice is once.
func (w *portWatch) stop() {
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	w.over.Wait()
}

// networks are those that the port was on, in order, without the times between them when it was isolated.
func (w *portWatch) networks() (out []string) {
	for _, g := range w.seen {
		if g.network != "" && (len(out) == 0 || out[len(out)-1] != g.network) {
			out = append(out, g.network)
		}
	}
	return out
}

// mayBe are the networks that the port may have been on at a time: what was seen last before it, what was seen next, and what
// was seen by a look during which it was.
func (w *portWatch) mayBe(at time.Time) (out []string) {
	next := slices.IndexFunc(w.seen, func(g glance) bool { return g.began.After(at) })
	if next < 0 {
		next = len(w.seen) - 1
	}
	for i := next; i >= 0; i-- {
		out = append(out, w.seen[i].network)
		if w.seen[i].ended.Before(at) {
			break
		}
	}
	return out
}

// onlyWhere sees that a machine's frames passed on the network alone that its port was on, and on each of these some.
func (w *portWatch) onlyWhere(t *testing.T, mac string, captures map[string]*bridgeCapture) {
	t.Helper()
	w.stop()
	if w.err != nil || len(w.seen) == 0 {
		t.Fatalf("the switch was seen %d times: %v", len(w.seen), w.err)
	}
	began, ended := w.seen[0].ended, w.seen[len(w.seen)-1].began
	count := map[string]int{}
	for network, c := range captures {
		c.stop()
		frames, err := readFrames(c.file, network)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if f.from != mac || f.at.Before(began) || f.at.After(ended) {
				continue
			}
			count[network]++
			if may := w.mayBe(f.at); !slices.Contains(may, network) {
				t.Errorf("at %s a frame of the machine passed on %s, and its port was on %q", f.at.Format("15:04:05.000"), network, may)
			}
		}
	}
	for _, network := range w.networks() {
		if count[network] == 0 {
			t.Errorf("no frame of the machine was captured on %s: that others have none proves nothing", network)
		}
	}
	t.Logf("the port was on %v, seen %d times; frames of the machine: %v", w.networks(), len(w.seen), count)
}
