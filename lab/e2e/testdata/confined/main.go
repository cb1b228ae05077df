// Command confined takes the agent's place in the Debian ramdisk: it confines the scripts of a stranger as the agent does, and tells the
// serial console what became of them.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/agent/confine"
	"ingot/agent/confine/confinetest"
	"ingot/internal/osdef"
	"ingot/internal/secret"

	"golang.org/x/sys/unix"
)

// own and other are the machine's two disks.
const own, other = "/dev/vda", "/dev/vdb"

var say = func(format string, args ...any) {}

func main() {
	out, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		panic(err)
	}
	var one sync.Mutex
	say = func(format string, args ...any) {
		one.Lock()
		defer one.Unlock()
		fmt.Fprintf(out, "probe: "+format+"\r\n", args...)
	}
	for _, m := range []string{"ipmi_si", "ipmi_devintf"} {
		if b, err := exec.Command("modprobe", m).CombinedOutput(); err != nil {
			say("modprobe %s: %v %s", m, err, b)
		}
	}
	_ = exec.Command("udevadm", "settle").Run()
	c := &confine.Confiner{}
	say("check err=%v", c.Check())
	w, err := world()
	if err != nil {
		say("world: %v", err)
	}
	attacks(c, w)
	useful(c)
	bounds(c)
	say("agent's memory is there still: %s", available())
	say("done")
	_ = exec.Command("systemctl", "poweroff").Run()
	select {}
}

func available() string {
	b, _ := os.ReadFile("/proc/meminfo")
	for l := range strings.Lines(string(b)) {
		if strings.HasPrefix(l, "MemAvailable:") {
			return strings.Join(strings.Fields(l)[1:], " ")
		}
	}
	return "?"
}

// world makes what a script must not reach.
func world() ([]string, error) {
	const dir = "/run/probe"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("the token"), 0o644); err != nil {
		return nil, err
	}
	for network, at := range map[string]string{"tcp": "127.0.0.1:7777", "unix": "@probe"} {
		if _, err := net.Listen(network, at); err != nil {
			return nil, err
		}
	}
	if _, err := net.Listen("unix", filepath.Join(dir, "socket")); err != nil {
		return nil, err
	}
	if _, err := unix.SysvShmGet(4711, 4096, unix.IPC_CREAT|0o666); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(other, &st); err != nil {
		return nil, err
	}
	return []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin", confinetest.OwnDisk + "=" + own, confinetest.OtherDisk + "=" + other,
		confinetest.OtherNumber + "=" + fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), confinetest.TokenFile + "=" + token,
		confinetest.Listener + "=127.0.0.1:7777", confinetest.Abstract + "=@probe", confinetest.SocketFile + "=" + filepath.Join(dir, "socket"),
		confinetest.SharedKey + "=4711", confinetest.ProcessID + "=" + strconv.Itoa(os.Getpid())}, nil
}

func variables(pairs ...string) (out []osdef.Variable) {
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		out = append(out, osdef.Variable{Name: name, Value: secret.New(value)})
	}
	return out
}

func attacks(c *confine.Confiner, facts []string) {
	n, err := confine.NewNetwork()
	if err != nil {
		say("network: %v", err)
		return
	}
	defer n.Close()
	l, err := n.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		say("listen: %v", err)
		return
	}
	channel := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "this is the channel") })}
	go channel.Serve(l)
	defer channel.Close()
	var said bytes.Buffer
	s := confine.Script{Folder: "/usr/local/lib/attacks", Path: "attacks", Devices: []string{own}, Network: n, Stdout: &said, Stderr: &said,
		Env: variables(append(slices.Clone(facts), confinetest.ChannelText+"=this is the channel")...)}
	code, err := c.Run(context.Background(), s)
	tell("confined", said.String(), code, err)
	said.Reset()
	s.Args, s.Env = []string{"free"}, variables(facts...)
	code, err = c.RunTrusted(context.Background(), s)
	tell("trusted", said.String(), code, err)
}

func tell(name, said string, code int, err error) {
	for l := range strings.Lines(said) {
		say("%s| %.300s", name, strings.TrimSpace(l))
	}
	say("%s code=%d err=%v", name, code, err)
}

// script runs a shell script confined, for at most so long.
func script(c *confine.Confiner, name, text string, limit time.Duration, l confine.Limits) {
	dir := filepath.Join("/run", "script-"+name)
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(filepath.Join(dir, "create"), []byte("#!/bin/sh\n"+text+"\n"), 0o755)
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errors.New("its time is over"))
	defer cancel()
	var said bytes.Buffer
	var longest time.Duration
	beats, over := 0, make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { // an agent that lives has its heartbeat
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for last := time.Now(); ; beats++ {
			select {
			case <-over:
				return
			case <-tick.C:
				longest, last = max(longest, time.Since(last)), time.Now()
			}
		}
	})
	begin := time.Now()
	code, err := c.Run(ctx, confine.Script{Folder: dir, Path: "create", Devices: []string{own}, Env: variables("PATH=/sbin:/bin:/usr/sbin:/usr/bin", "DISK="+own), Stdout: &head{w: &said},
		Stderr: &head{w: &said}, Limits: l})
	took := time.Since(begin)
	close(over)
	watching.Wait()
	tell(name, said.String(), code, err)
	say("%s took %s of %s; %d heartbeats, longest pause %s; left of it: %d processes, available %s", name, took.Round(time.Millisecond), limit, beats, longest.Round(time.Millisecond), left(), available())
}

// head keeps the first of what is written.
type head struct {
	w *bytes.Buffer
	n int
}

func (h *head) Write(p []byte) (int, error) {
	if h.n += len(p); h.n < 16<<10 {
		h.w.Write(p)
	}
	return len(p), nil
}

// left counts the processes whose user is a script's, without dead ones that nobody has buried yet.
func left() (n int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		var st unix.Stat_t
		stat, err := os.ReadFile(filepath.Join(p, "stat"))
		if err == nil && unix.Stat(p, &st) == nil && st.Uid >= 0x70000000 && !strings.Contains(string(stat), ") Z ") {
			n++
		}
	}
	return n
}

// useful is what an honest script does: it fills its disk, and needs no mount for it.
func useful(c *confine.Confiner) {
	script(c, "partition", `set -e
printf 'label: gpt\nsize=16M,type=uefi\nsize=64M\n' | sfdisk -q --no-reread --no-tell-kernel $DISK
mkdir -p /tmp/root/etc /tmp/root/home/u && echo installed >/tmp/root/etc/hostname && chown 1000:1000 /tmp/root/home/u
mke2fs -q -F -t ext4 -d /tmp/root -E offset=$((17*1048576)) $DISK 64M
echo file system made`, time.Minute*3, confine.Limits{})
	if b, err := exec.Command("sh", "-c", "blockdev --rereadpt "+own+"; udevadm settle; ls "+own+"*").CombinedOutput(); err != nil {
		say("reread: %v %s", err, b)
	}
	script(c, "partitions", `ls -l $DISK*
mkfs.vfat -F 16 ${DISK}1 && echo a kernel >/tmp/kernel && mcopy -i ${DISK}1 /tmp/kernel ::kernel && mdir -b -i ${DISK}1
debugfs -R 'cat /etc/hostname' ${DISK}2; debugfs -R 'stat /home/u' ${DISK}2 | grep User
echo written >/tmp/x; debugfs -w -R 'write /tmp/x /etc/written' ${DISK}2; debugfs -R 'cat /etc/written' ${DISK}2`, time.Minute*3, confine.Limits{})
}

// bounds is what a hostile one uses up.
func bounds(c *confine.Confiner) {
	// A shell ends when it cannot fork. The one that waits forks before the others do, so that time alone ends these scripts.
	script(c, "forks", "f() { f | f & }; sleep 1000 & ( f; f ) & wait", 20*time.Second, confine.Limits{})
	script(c, "daemons", "sleep 1000 & ( while :; do setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & done ) 2>/dev/null & wait", 20*time.Second, confine.Limits{})
	script(c, "memory", "tail /dev/zero; echo survived", time.Minute*3, confine.Limits{})
	script(c, "fill", "for d in /tmp /dev/shm /run /var/tmp; do cat /dev/zero >$d/x 2>/dev/null || echo $d is full; done; df -k /tmp | tail -1", time.Minute*5, confine.Limits{})
	script(c, "files", "i=0; while true >/tmp/$i; do i=$((i+1)); done 2>/dev/null; echo no more than $i files", time.Minute*3, confine.Limits{Scratch: 32 << 20})
	script(c, "everything", "f() { f | f & }; cat /dev/zero >/tmp/x & dd if=/dev/zero of=$DISK bs=1M & tail /dev/zero & sleep 2; ( f; f ) & while :; do :; done", 30*time.Second, confine.Limits{})
	script(c, "talk", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", 10*time.Second, confine.Limits{})
}
