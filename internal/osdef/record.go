package osdef

import "time"

// Record is what is known of a definition beside its files.
type Record struct {
	ID          int64
	UUID        string
	Name        string
	Description string
	Digest      string
	Size        int64
	Definition  Definition

	TrustedDigest string // what an administrator trusted; "" for nothing
	TrustedBy     string
	TrustedAt     time.Time

	Hidden      bool // not listed, except for who may list all
	Blacklisted bool // for rebuilds of what is installed with it only

	Defaults  map[string]Classes // by variant, "" for every one; none has secret ones
	Trusts    []Trust            // the latest, newest first; only where one definition is asked for
	CreatedAt time.Time
	UpdatedAt time.Time // zero until the first change
}

// Trusted tells whether these very files are trusted.
func (r *Record) Trusted() bool { return r.TrustedDigest != "" && r.TrustedDigest == r.Digest }

// Layers are the defaults for a variant, the lower first.
func (r *Record) Layers(variant string) []Classes {
	out := []Classes{r.Defaults[""]}
	if variant != "" {
		out = append(out, r.Defaults[variant])
	}
	return out
}

// Trust is an entry of who trusted which files, or ended it.
type Trust struct {
	At      time.Time
	Who     string
	Request string
	Digest  string
	Trusted bool
}
