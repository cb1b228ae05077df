package confinetest

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attack is one thing that a script tries.
type Attack struct {
	Name string
	Try  func() (string, error) // what it got, or why not
	// Confined and Free are expressions for the whole outcome where the script is confined and where it is not: what it got, ok for
	// nothing, or the name of an error number. Free is empty where the attack is not for machines that are still needed.
	Confined, Free string
}

// Facts that the tests tell the attacks, as variables of the environment.
const (
	OwnDisk     = "TRY_OWN_DISK"     // a path that the script was given
	OtherDisk   = "TRY_OTHER_DISK"   // the path of a disk that it was not given
	OtherNumber = "TRY_OTHER_NUMBER" // the same, as MAJOR:MINOR
	TokenFile   = "TRY_TOKEN_FILE"   // what only the agent may read
	Listener    = "TRY_LISTENER"     // an address and port of the machine's lo that somebody listens on
	Abstract    = "TRY_ABSTRACT"     // the name of an abstract socket that somebody listens on
	SocketFile  = "TRY_SOCKET_FILE"  // the same with a path
	SharedKey   = "TRY_SHARED_KEY"   // the key of a segment of System V shared memory
	ProcessID   = "TRY_PROCESS"      // of the agent
	Spare       = "TRY_SPARE"        // not empty: the script that started the attacks is not killed
	ChannelText = "TRY_CHANNEL_TEXT" // what the channel answers; empty: there is none
)

// outcome is what a test reads of an attack.
func outcome(got string, err error) string {
	var no syscall.Errno
	switch {
	case errors.As(err, &no):
		return unix.ErrnoName(no)
	case err != nil:
		return "error: " + err.Error()
	case got == "":
		return "ok"
	}
	return got
}

// Try tries all attacks and says a line for each. free leaves out those that would hurt.
func Try(w io.Writer, free bool) {
	for _, a := range Attacks {
		if free && a.Free == "" {
			continue
		}
		fmt.Fprintf(w, "attack %s: %s\n", a.Name, strings.ReplaceAll(outcome(a.Try()), "\n", "|"))
	}
	fmt.Fprintln(w, "attacks are over")
}

// Judge reads what Try said, and gives what should not be.
func Judge(said string, free bool) (wrong []string) {
	got := map[string]string{}
	for line := range strings.Lines(said) {
		for _, a := range Attacks { // whatever stands before it, on a console
			if _, outcome, found := strings.Cut(line, "attack "+a.Name+": "); found {
				got[a.Name] = strings.TrimSpace(outcome)
			}
		}
	}
	for _, a := range Attacks {
		want := a.Confined
		if free {
			want = a.Free
		}
		outcome, tried := got[a.Name]
		switch {
		case want == "" && !tried:
		case !tried:
			wrong = append(wrong, a.Name+": was not tried")
		case !regexp.MustCompile("^(" + want + ")$").MatchString(outcome):
			wrong = append(wrong, fmt.Sprintf("%s: %q, want %s", a.Name, outcome, want))
		}
	}
	if !strings.Contains(said, "attacks are over") {
		wrong = append(wrong, "the attacks did not come to their end")
	}
	return wrong
}
