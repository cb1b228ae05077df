package agentapi

import "time"

// What the step clean_uefi_variables is given in driver_internal_info, and what its result holds beside Erased under
// UEFIVariables.
const (
	KnownVariables = "ingot_known_variables" // names from before the first tenant; absent: not known
	UEFIVariables  = "uefi-variables"
	KeptVariables  = "kept" // names
)

// Proof is what the agent did to be sure that something was erased, and what it found when it looked. The agents of others
// give none.
type Proof struct {
	Method string `json:"method"`
	// Partial: only what finds data again was erased, the data itself was not.
	Partial bool `json:"partial,omitempty"`
	// Passes is how often what was overwritten was overwritten; 1 for what a disk does by itself.
	Passes   int       `json:"passes"`
	Began    time.Time `json:"began"` // by the machine's clock
	Ended    time.Time `json:"ended"`
	ReadBack ReadBack  `json:"read_back"`
}

// ReadBack is what was read after the erase.
type ReadBack struct {
	// Whole: every byte that was to be erased was read back as well.
	Whole   bool    `json:"whole"`
	Samples int     `json:"samples"`
	Length  int     `json:"length"`            // of a sample, bytes
	Offsets []int64 `json:"offsets,omitempty"` // of the samples, bytes from the start
	Zero    int     `json:"zero"`              // samples that were all zero
	Result  string  `json:"result"`            // a few words
}
