package metal

import "time"

// Why answers "why is it waiting?": what a node's operation is doing now. Without an operation only
// Node, State, LastError and Next are set.
type Why struct {
	Node       string     `json:"node"`
	State      State      `json:"provision_state"`
	Verb       string     `json:"verb,omitempty"`
	Plan       string     `json:"plan,omitempty"`
	Step       string     `json:"step,omitempty"`
	StepIndex  int        `json:"step_index"`
	StepsTotal int        `json:"steps_total"`
	Undoing    bool       `json:"undoing,omitempty"`
	WaitingFor string     `json:"waiting_for,omitempty"` // a phrase: "the agent to call back"
	Since      *time.Time `json:"since,omitempty"`
	Limit      *time.Time `json:"limit,omitempty"` // when the step fails if nothing happens
	Next       string     `json:"next"`            // a sentence: what happens next, and when
	Holder     string     `json:"holder,omitempty"`
	Attempts   int        `json:"attempts,omitempty"`
	LastError  string     `json:"last_error,omitempty"`
	// VendordataFault is what the vendordata targets of the instance failed with last, a sentence.
	VendordataFault string       `json:"vendordata_fault,omitempty"`
	OSInstall       *OSInstalled `json:"os_install,omitempty"`
	Progress        *Progress    `json:"progress,omitempty"`
}

// Progress is how far the running step is. Total 0 means unknown; Rate is units per second.
type Progress struct {
	What  string  `json:"what"`
	Done  int64   `json:"done"`
	Total int64   `json:"total"`
	Unit  string  `json:"unit"`
	Rate  float64 `json:"rate"`
}
