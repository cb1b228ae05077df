package conductor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const (
	// selfLooks is after how many polls is looked whether a machine that installs itself is still on, and its medium still offered. What
	// it says is heard at once.
	selfLooks = 5
	// maxSelfLog bounds what is kept of what it says beside its progress, bytes.
	maxSelfLog = 64 << 10
	// maxTaken bounds how many messages are taken at one look.
	maxTaken = 256
	// lastLines are quoted when it fails. Source: ganeti-os-interface(7) on the create script.
	lastLines = 20
)

// awaitInstaller is done when the machine has asked for the first time.
func (r *runner) awaitInstaller(ctx context.Context, op *Op) (Outcome, error) {
	c, o, err := r.hear(ctx, op, "the installer to ask the metadata service for the first time")
	switch {
	case err != nil:
		return o, err
	case !c.SeenAt.IsZero():
		r.installerRuns(ctx, op)
		return done, nil
	}
	if anew, err := r.holdOn(ctx, op, true); err != nil || anew != done {
		return anew, err
	}
	return o, nil
}

// awaitSelfInstall is done when the installer has said that it ended, and ended well.
func (r *runner) awaitSelfInstall(ctx context.Context, op *Op) (Outcome, error) {
	c, o, err := r.hear(ctx, op, "the installer to say that it has ended")
	if err != nil {
		return o, err
	}
	if err := r.takeMessages(ctx, op); err != nil {
		return Outcome{}, err
	}
	p := c.Progress
	if p.Final {
		return done, r.ended(ctx, op, p)
	}
	if p.Stage != "" {
		r.showProgress(op, &agentapi.Progress{What: p.Stage, Done: int64(p.Percent), Total: 100, Unit: "percent", Message: p.Message})
		op.Say(&agentapi.Progress{What: shortened(p.Stage, maxStage), Done: int64(p.Percent), Total: 100, Unit: "percent", Message: shortened(p.Message, maxMessage)}, time.Now())
	}
	if _, err := r.holdOn(ctx, op, false); err != nil {
		return Outcome{}, err
	}
	return o, nil
}

// ended judges the installer's last word.
func (r *runner) ended(ctx context.Context, op *Op, p agentapi.OSProgress) error {
	message := r.scrubbed(ctx, op, shortened(p.Message, maxMessage))
	if p.Code == 0 {
		r.event(op, "step", "INFO", strings.TrimSpace("The installer says that it has ended. "+message))
		r.keepSelfLog(op, r.c.config.CollectLogs == LogsAlways)
		return nil
	}
	said := fmt.Sprintf("the installer ended with code %d", p.Code)
	if message != "" {
		said += ": " + message
	}
	if message == withheld {
		said += r.lacking(ctx, op)
	}
	if lines := strings.Split(strings.TrimRight(op.Rec.OS.Self.Log, "\n"), "\n"); lines[0] != "" {
		said += "\n" + strings.Join(lines[max(0, len(lines)-lastLines):], "\n")
	}
	return fault.New(fault.Invalid, "%s", said)
}

// hear looks at the machine and then at what it said: one that said its last word and switched itself off has ended well. A BMC that does
// not answer for a while is no reason to give up: the machine itself is heard.
func (r *runner) hear(ctx context.Context, op *Op, why string) (*store.OSChannel, Outcome, error) {
	is, err := r.power(ctx, op)
	if err != nil && !transient(err) {
		return nil, Outcome{}, err
	}
	var c *store.OSChannel
	err = r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.OSChannel(op.Node)
		return err
	})
	if err != nil {
		return nil, Outcome{}, err
	}
	if c == nil || c.Deploy != op.row.UUID {
		return nil, Outcome{}, fault.New(fault.Conflict, "the channel by which the machine reports is not there any more")
	}
	self := op.Rec.OS.Self
	was := self.Off
	self.HeardAt, self.Off = c.UpdatedAt, is == metal.PowerOff
	o := waitFor(metal.WaitOSInstall, "%s", why)
	o.after = selfLooks * r.c.config.Poll
	switch {
	case c.Progress.Final:
	case len(c.Lost) > 0:
		return nil, Outcome{}, needAgain(c.Lost, nil)
	case self.Off && was:
		return nil, Outcome{}, fault.New(fault.Invalid, "the machine is off, and its installer had not said that it ended")
	case self.Off:
		o.after = r.c.config.Poll // an installer may switch it off and on
	}
	return c, o, nil
}

// holdOn sees that the medium is offered as long as the machine may read it: the server that did so may be gone. Before the installer
// was heard the machine boots it anew, from where it is then. After that it goes on with what it has read.
func (r *runner) holdOn(ctx context.Context, op *Op, anew bool) (Outcome, error) {
	if op.Rec.ISOBy == r.c.process || r.hw.NetBoot != "" && !anew { // what boots from the network has read all before it runs
		return done, nil
	}
	before, by := op.Rec.MediaURL, op.Rec.ISOBy
	gone := false
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		gone, err = r.c.unserved(tx, before)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	_, o, err := r.holdMedium(ctx, op)
	switch {
	case err != nil && transient(err) && !gone, err == nil && o != done:
		op.Rec.ISOBy = by // the next look tries again
		return done, nil
	case err != nil:
		return Outcome{}, err
	case op.Rec.MediaURL == before || !gone:
		op.Rec.MediaURL, op.Rec.ISOURL = before, before
		return done, nil
	}
	_, host, _ := strings.Cut(by, "@")
	if anew {
		return backTo("power off", "The machine boots the installer anew: server %s, which offered the medium, is gone, and the installer was not heard yet.", host), nil
	}
	r.event(op, "step", "WARN", fmt.Sprintf("Server %s, which offered the installer's medium, is gone: the machine has what it has read of it.", host))
	op.Rec.MediaURL, op.Rec.ISOURL = before, before
	return done, nil
}

// takeMessages takes what the installer wrote that is no progress, and keeps the end of it, without values that no log may repeat. What
// a server took that died before it kept it is lost: a log, and no more.
func (r *runner) takeMessages(ctx context.Context, op *Op) error {
	var text strings.Builder
	err := r.c.db.Write(ctx, func(tx *store.Tx) error {
		text.Reset()
		n, err := tx.NodeByID(op.Node.ID)
		for i := 0; err == nil && i < maxTaken; i++ {
			var m []byte
			if m, err = tx.TakeOSMessage(n, op.row.UUID, store.ToServer); m == nil {
				break
			}
			text.Write(m)
		}
		return err
	})
	if err != nil || text.Len() == 0 {
		return err
	}
	self := op.Rec.OS.Self
	all := r.scrubbed(ctx, op, self.Log+strings.ReplaceAll(text.String(), "\x00", "?")) // a value may be in two writes
	if all == withheld {                                                                // what was looked through before may stay
		all = self.Log + withheld + "\n"
	}
	all = strings.ToValidUTF8(all, "?")
	self.Log = strings.ToValidUTF8(all[max(0, len(all)-maxSelfLog):], "")
	return nil
}

// keepSelfLog keeps what the installer wrote as a log of the node.
func (r *runner) keepSelfLog(op *Op, wanted bool) {
	if self := op.Rec.OS.Self; wanted && self.Log != "" {
		addLog(op, "self-install-"+time.Now().UTC().Format("20060102T150405Z")+".log", []byte(self.Log))
	}
}

// keepSelfLogs tells an installer that failed or is aborted, and keeps what can be had of it.
func (r *runner) keepSelfLogs(ctx context.Context, op *Op) error {
	if err := r.tellCancelled(ctx, op); err != nil {
		r.event(op, "error", "ERROR", "The installer could not be told that it is cancelled: "+sentence(err))
	}
	if r.c.config.CollectLogs == LogsNever {
		return nil
	}
	if err := r.takeMessages(ctx, op); err != nil {
		r.event(op, "error", "ERROR", "What the installer wrote could not be kept: "+sentence(err))
	}
	r.keepSelfLog(op, true)
	return r.keepLogs(ctx, op)
}

// whyNoInstaller says what may explain that a machine has asked nothing.
func (r *runner) whyNoInstaller(ctx context.Context, op *Op) string {
	const silent = "it does not read http://169.254.169.254/ganeti/latest/, or the metadata service does not know it by its address"
	if r.hw.NetBoot != "" {
		return r.whyNoNetInstaller(ctx, op, silent)
	}
	return "it may not have booted the medium, or " + silent + r.secureRefusal(ctx, op)
}

// whyNoEnd says how far an installer came that did not end in time.
func (r *runner) whyNoEnd(_ context.Context, op *Op) string {
	if stage := op.Rec.OS.Stage; stage != "" {
		return fmt.Sprintf("the last that it said was stage %q", stage)
	}
	return "it never said how far it was"
}
