// Command prober says whom a machine reaches. As the first process of an instance it takes the address that belongs to its
// MAC, answers whoever connects, and prints a line of what it reaches again and again; as a plugin of the agent it does
// so once per step. It is for the test of reachability, whose lab has machines m1, m2 and m3.
package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"ingot/agent/system"
)

const (
	port     = "7777"
	patience = 1500 * time.Millisecond // for one connection, of emulated machines
	machines = 3
)

func main() {
	switch {
	case os.Getpid() == 1:
		instance()
	case len(os.Args) > 1 && os.Args[1] == "describe":
		answer(map[string]any{"result": map[string]any{"name": "prober", "version": "1", "support": 2,
			"clean_steps":   []any{map[string]any{"interface": "deploy", "step": "probe_reach", "priority": 50}},
			"deploy_steps":  []any{map[string]any{"interface": "deploy", "step": "probe_reach", "priority": 90}},
			"service_steps": []any{}}})
	case len(os.Args) > 1 && os.Args[1] == "run":
		me, _ := address()
		line := "REACH " + name(me) + " ramdisk " + reach(me)
		answer(map[string]any{"log": line})
		answer(map[string]any{"result": map[string]any{"reach": line}})
	}
}

func answer(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(b))
}

// instance never ends: the kernel would panic.
func instance() {
	console := system.Consoles()
	log := slog.New(slog.NewTextHandler(console, nil))
	if err := system.Mount(); err != nil {
		fmt.Fprintln(console, "prober:", err)
	}
	console = system.Consoles()
	if _, err := system.LoadModules(log, "/", "/etc/ingot/modules"); err != nil {
		fmt.Fprintln(console, "prober:", err)
	}
	var me net.IP
	for me == nil {
		if err := configure(); err != nil {
			fmt.Fprintln(console, "prober:", err)
			time.Sleep(time.Second)
		}
		me, _ = address()
	}
	ln, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(console, "prober:", err)
	} else {
		go func() {
			for {
				if c, err := ln.Accept(); err == nil {
					c.Close()
				}
			}
		}()
	}
	for round := 1; ; round++ {
		fmt.Fprintf(console, "REACH %s instance %d %s\n", name(me), round, reach(me))
		time.Sleep(500 * time.Millisecond)
	}
}

// configure gives the first NIC the address .200+N of the subnet on the command line; N is the last byte of its MAC.
func configure() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(line), "prober.subnet=")
	subnet := strings.Fields(rest + " ?")[0]
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		mac := l.Attrs().HardwareAddr
		if len(mac) != 6 || mac[0] != 0x52 {
			continue
		}
		a, err := netlink.ParseAddr(subnet + "." + strconv.Itoa(200+int(mac[5])) + "/24")
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(l, a); err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	}
	return fmt.Errorf("no NIC yet")
}

// address is this machine's in the lab.
func address() (net.IP, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.To4()[0] == 198 {
			return n.IP.To4(), nil
		}
	}
	return nil, fmt.Errorf("no address")
}

func name(me net.IP) string {
	if me == nil {
		return "nobody"
	}
	return "m" + strconv.Itoa(int(me[3])-200)
}

// reach connects with the host and every other machine.
func reach(me net.IP) string {
	if me == nil {
		return "no address"
	}
	hosts := []int{1}
	for n := 1; n <= machines; n++ {
		hosts = append(hosts, 200+n)
	}
	out := make([]string, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		to := net.IPv4(me[0], me[1], me[2], byte(h)).To4()
		who := name(to)
		if h == 1 {
			who = "host"
		}
		if who == name(me) {
			continue
		}
		all.Go(func() {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(to.String(), port), patience)
			out[i] = who + "=no"
			if err == nil {
				c.Close()
				out[i] = who + "=yes"
			}
		})
	}
	all.Wait()
	return strings.Join(strings.Fields(strings.Join(out, " ")), " ")
}
