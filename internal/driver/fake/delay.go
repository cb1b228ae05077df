package fake

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Kind is an interface kind that has a delay of its own.
type Kind string

// The kinds.
const (
	BIOS       Kind = "bios"
	Boot       Kind = "boot"
	Deploy     Kind = "deploy"
	Firmware   Kind = "firmware"
	Inspect    Kind = "inspect"
	Management Kind = "management"
	Power      Kind = "power"
	RAID       Kind = "raid"
	Rescue     Kind = "rescue"
	Storage    Kind = "storage"
	Vendor     Kind = "vendor"
)

// Delay is how long a fake machine takes for something: between Min and Max, rather near Min.
type Delay struct{ Min, Max time.Duration }

// Delays has the delay of each kind; a kind that is not there takes no time.
type Delays map[Kind]Delay

// longestDelay bounds what can be set, so that a slip does not leave machines busy for weeks.
const longestDelay = 24 * time.Hour

// ParseDelay reads seconds, as "3" or as "1,10": from and to. Empty is none. Source of the form: OpenStack Ironic,
// ironic/conf/fake.py.
func ParseDelay(text string) (Delay, error) {
	var ends []time.Duration
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" && text == "" {
			return Delay{}, nil
		}
		seconds, err := strconv.ParseFloat(part, 64)
		if err != nil || !(seconds >= 0 && seconds <= longestDelay.Seconds()) {
			return Delay{}, fault.New(fault.Invalid, "%q is no delay: write seconds, from 0 to 86400, or two numbers divided by a comma", text)
		}
		ends = append(ends, time.Duration(seconds*float64(time.Second)))
	}
	switch {
	case len(ends) == 1:
		return Delay{ends[0], ends[0]}, nil
	case len(ends) == 2 && ends[0] <= ends[1]:
		return Delay{ends[0], ends[1]}, nil
	}
	return Delay{}, fault.New(fault.Invalid, "%q is no delay: write seconds, or the shortest and the longest divided by a comma", text)
}

// draw takes a delay out of a triangle that is highest at Min.
func (d Delay) draw() time.Duration {
	if d.Max <= d.Min {
		return d.Min
	}
	return d.Min + time.Duration(float64(d.Max-d.Min)*(1-math.Sqrt(rand.Float64())))
}

// Pause draws how long something of a kind takes.
func (d *Driver) Pause(k Kind) func() time.Duration { return d.delays[k].draw }
