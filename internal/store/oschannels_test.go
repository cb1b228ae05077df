package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestREQ23ChannelsAreOfOneDeployment(t *testing.T) { each(t, testOSChannels) }

func testOSChannels(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	channel := func(n *metal.Node) *OSChannel {
		t.Helper()
		return read(t, db, func(tx *Tx) (*OSChannel, error) { return tx.OSChannel(n) })
	}
	refused := func(what string, f func(tx *Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), f); fault.KindOf(err) != fault.NotFound || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if c := channel(n); c != nil {
		t.Fatalf("there is a channel: %+v", c)
	}
	put := func(deploy, text string) func(tx *Tx) error {
		return func(tx *Tx) error { return tx.PutOSMessage(n, deploy, ToMachine, []byte(text), nil) }
	}
	take := func(deploy string, to OSReader) (out string) {
		t.Helper()
		write(t, db, func(tx *Tx) error {
			m, err := tx.TakeOSMessage(n, deploy, to)
			out = string(m)
			return err
		})
		return out
	}
	refused("a message for nobody", put("one", "x"))
	write(t, db, func(tx *Tx) error {
		return errors.Join(tx.OpenOSChannel(n, "one"), tx.OpenOSChannel(other, "other"))
	})
	first := agentapi.OSProgress{Stage: "disk", Percent: 40, Message: "writing"}
	write(t, db, func(tx *Tx) error {
		return errors.Join(tx.SeeOSChannel(n, "one"), tx.SaveOSProgress(n, "one", first, map[string]int{"disk": 40}), tx.LoseOSSecrets(n, "one", []string{"b", "a"}), tx.LoseOSSecrets(n, "one", []string{"a"}))
	})
	c := channel(n)
	if c.Deploy != "one" || c.SeenAt.IsZero() || c.Progress != first || !reflect.DeepEqual(c.Stages, map[string]int{"disk": 40}) || !slices.Equal(c.Lost, []string{"a", "b"}) {
		t.Errorf("%+v", c)
	}
	if o := channel(other); !o.SeenAt.IsZero() || len(o.Lost)+len(o.Stages) != 0 || o.Progress != (agentapi.OSProgress{}) {
		t.Errorf("the other's: %+v", o)
	}
	write(t, db, put("one", "kept sealed, canary"))
	write(t, db, put("one", "second"))
	write(t, db, func(tx *Tx) error { return tx.PutOSMessage(n, "one", ToServer, []byte("up\x00\xff"), nil) })
	for what, f := range map[string]func(tx *Tx) error{
		"seen":     func(tx *Tx) error { return tx.SeeOSChannel(n, "other") },
		"progress": func(tx *Tx) error { return tx.SaveOSProgress(n, "zero", first, nil) },
		"lost":     func(tx *Tx) error { return tx.LoseOSSecrets(n, "zero", nil) },
		"message":  put("zero", "x"),
	} {
		refused(what+" of another deployment", f)
	}
	if got := take("zero", ToMachine); got != "" {
		t.Errorf("another deployment takes %q", got)
	}
	for _, want := range []string{"kept sealed, canary", "second", ""} {
		if got := take("one", ToMachine); got != want {
			t.Errorf("taken: %q, want %q", got, want)
		}
	}
	write(t, db, put("one", "of the first deployment"))
	write(t, db, func(tx *Tx) error { return tx.OpenOSChannel(n, "two") })
	if c := channel(n); c.Deploy != "two" || !c.SeenAt.IsZero() || len(c.Lost) != 0 || take("two", ToMachine)+take("two", ToServer)+take("one", ToServer) != "" {
		t.Errorf("the next deployment has what the former one left: %+v", c)
	}
	write(t, db, func(tx *Tx) error {
		return errors.Join(tx.SaveOSInstall(n, &OSInstall{Mode: "self_install"}), tx.DropOSInstall(n.ID))
	})
	if c := channel(n); c != nil {
		t.Errorf("it outlives the installation: %+v", c)
	}
	if channel(other) == nil {
		t.Error("the other's is gone, too")
	}
	if count := read(t, db, func(tx *Tx) (int, error) { return tx.OSChannels() }); count != 1 {
		t.Errorf("%d channels", count)
	}
}

func TestREQ21MessagesAreTakenOnce(t *testing.T) { each(t, testOSMessagesOnce) }

func testOSMessagesOnce(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	const many, readers = 24, 4
	write(t, db, func(tx *Tx) error {
		if err := tx.OpenOSChannel(n, "one"); err != nil {
			return err
		}
		for i := range many {
			if err := tx.PutOSMessage(n, "one", ToMachine, fmt.Appendf(nil, "%02d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	var got []string
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for last := ""; ; {
				var m []byte
				err := db.Write(t.Context(), func(tx *Tx) (err error) {
					held, err := tx.Node(n.UUID)
					if err == nil {
						m, err = tx.TakeOSMessage(held, "one", ToMachine)
					}
					return err
				})
				if err != nil || m == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if string(m) <= last {
					t.Errorf("%s after %s", m, last)
				}
				last = string(m)
				mu.Lock()
				got = append(got, last)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(got)
	if len(got) != many || len(slices.Compact(got)) != many {
		t.Errorf("taken: %v", got)
	}
}

func TestMessagesHaveTheRoomThatTheyAreGiven(t *testing.T) {
	db := openAt(t, t.TempDir())
	n := addNode(t, db, 1)
	write(t, db, func(tx *Tx) error { return tx.OpenOSChannel(n, "one") })
	room := func(messages int, waiting, size int64) error {
		if messages >= 2 || waiting+size > 10 {
			return fault.New(fault.TooMany, "No room.")
		}
		return nil
	}
	put := func(text string, fits bool) {
		t.Helper()
		err := db.Write(t.Context(), func(tx *Tx) error { return tx.PutOSMessage(n, "one", ToServer, []byte(text), room) })
		if (err == nil) != fits {
			t.Errorf("%q: %v", text, err)
		}
	}
	put(strings.Repeat("x", 11), false)
	put("123456", true)
	put("78901", false)
	put("7", true)
	put("8", false)
	if count := read(t, db, func(tx *Tx) (int, error) { return tx.OSMessages(n, ToServer) }); count != 2 {
		t.Errorf("%d wait", count)
	}
}
